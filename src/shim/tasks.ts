import { readFileSync } from 'node:fs';
import path from 'node:path';
import { alreadyExists, HakoError, messageOf, notFound } from '#base/errors.ts';
import { Locks } from '#base/locks.ts';
import type { Logger } from '#base/log.ts';
import { mountAll, unmountAll, type MountWords } from '#sys/mount.ts';
import type { ReapedProcess } from '#sys/exits.ts';
import type { KeeperLink } from './link.ts';
import type { RuntimeChoice } from './oci-runtime.ts';
import type { Pump } from './pump/pump.ts';
import { newProcessRecord, Task, type TaskParts, type TaskProcess } from './task.ts';
import type { StdioRequest } from './record.ts';
import { ownsProcesses, readSpec } from './spec.ts';

export interface NewTask {
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  readonly rootfs: readonly MountWords[];
  readonly stdio: StdioRequest;
  readonly runtime: RuntimeChoice;
  readonly owner?: { readonly uid: number; readonly gid: number };
}

export interface TasksParts {
  readonly pump: Pump;
  readonly link: KeeperLink;
  /** The shim's own directory. */
  readonly directory: string;
  readonly logger: Logger;
}

/** What a bundle may tell the shim beyond the protocol: `shim.json`, written by our own daemon. */
interface BundleExtras {
  readonly log?: string;
}

/** Every task that this shim serves. */
export class Tasks {
  readonly #parts: TasksParts;
  readonly #tasks = new Map<string, Task>();
  readonly #locks = new Locks();
  /** Exits that came while a start was under way, which may be of the process being started. */
  readonly #strangers = new Map<number, ReapedProcess>();
  #expected = 0;
  #unacknowledged = 0;
  onEmpty: () => void = () => {};

  constructor(parts: TasksParts) {
    this.#parts = parts;
    parts.pump.events = {
      sinkClosed: (key, stream) => parts.link.drop(`${key}#sink-${stream}`),
      inputClosed: (key) => parts.link.drop(`${key}#stdin`),
    };
  }

  get size(): number {
    return this.#tasks.size;
  }

  all(): IterableIterator<Task> {
    return this.#tasks.values();
  }

  find(namespace: string, id: string): Task | undefined {
    return this.#tasks.get(`${namespace}/${id}`);
  }

  get(namespace: string, id: string): Task {
    const task = this.find(namespace, id);
    if (task === undefined) throw notFound('task', id);
    return task;
  }

  /** Runs `body` alone among those that change the task. */
  async alone<T>(namespace: string, id: string, body: () => Promise<T>): Promise<T> {
    // Once begun, a change is finished whether or not the caller still waits.
    using _lock = await this.#locks.hold(`${namespace}/${id}`, new AbortController().signal);
    return await body();
  }

  taskParts(owner?: { uid: number; gid: number }): TaskParts {
    return { ...this.#parts, ...(owner === undefined ? {} : { owner }), expecting: (body) => this.#expecting(body) };
  }

  async create(request: NewTask): Promise<number> {
    const { namespace, id, bundle, rootfs, stdio, runtime } = request;
    const key = `${namespace}/${id}`;
    if (this.#tasks.has(key)) throw alreadyExists('task', id);
    const spec = readSpec(bundle, this.#parts.logger);
    const extras = readExtras(bundle);
    const task = new Task(
      {
        version: 1,
        namespace,
        id,
        bundle,
        runtime,
        ...(extras.log === undefined ? {} : { log: extras.log }),
        mounted: rootfs.length > 0,
        phase: 'creating',
        paused: false,
        ownProcesses: ownsProcesses(spec),
        cgroups: {},
        init: newProcessRecord(key, '', stdio),
        execs: {},
      },
      this.taskParts(request.owner),
    );
    this.#tasks.set(key, task);
    try {
      mountAll(rootfs, path.join(bundle, 'rootfs'));
      return await this.#expecting(() => task.create());
    } catch (error) {
      this.#forget(task);
      if (rootfs.length > 0) unmountAll(path.join(bundle, 'rootfs'));
      throw error;
    }
  }

  /** Takes up a task of an earlier shim. */
  adopt(task: Task): void {
    this.#tasks.set(task.key, task);
  }

  #forget(task: Task): void {
    this.#tasks.delete(task.key);
    if (this.#tasks.size === 0) this.onEmpty();
  }

  async delete(task: Task): Promise<{ pid: number; status: number; at: number }> {
    const exit = await task.delete();
    this.#forget(task);
    return exit;
  }

  async #expecting<T>(body: () => Promise<T>): Promise<T> {
    this.#expected += 1;
    try {
      return await body();
    } finally {
      this.#expected -= 1;
      this.#matchStrangers();
    }
  }

  /** The keeper has reaped a process: one of ours, or one that the start under way will tell us of. */
  reaped(exit: ReapedProcess): void {
    this.#unacknowledged += 1;
    const found = this.#find(exit);
    if (found !== undefined) this.#end(found.task, found.process, exit);
    else if (this.#expected > 0) this.#strangers.set(exit.pid, exit);
    this.#acknowledge();
  }

  /** Ends a process, whoever found out. */
  end(task: Task, process: TaskProcess, exit: { status: number; at: number }): void {
    this.#end(task, process, exit);
  }

  #end(task: Task, process: TaskProcess, exit: { status: number; at: number }): void {
    task.reaped(process, { status: exit.status, at: exit.at }).catch((error: unknown) => {
      this.#parts.logger.log('error', 'exit could not be handled', { id: task.record.id, error: messageOf(error) });
    });
  }

  #find(exit: ReapedProcess): { task: Task; process: TaskProcess } | undefined {
    for (const task of this.#tasks.values()) {
      for (const process of task.processes()) {
        const { pid, startTime, status } = process.record;
        if (pid !== exit.pid || status === 'stopped' || status === 'starting') continue;
        if (startTime === 0 || exit.startTime === 0 || startTime === exit.startTime) return { task, process };
      }
    }
    return undefined;
  }

  #matchStrangers(): void {
    for (const exit of this.#strangers.values()) {
      const found = this.#find(exit);
      if (found === undefined) continue;
      this.#strangers.delete(exit.pid);
      this.#end(found.task, found.process, exit);
    }
    if (this.#expected === 0) this.#strangers.clear();
    this.#acknowledge();
  }

  /** The keeper may forget exits once all are written down or known to be nobody's. */
  #acknowledge(): void {
    if (this.#expected > 0 || this.#unacknowledged === 0) return;
    this.#parts.link.acknowledge(this.#unacknowledged);
    this.#unacknowledged = 0;
  }
}

function readExtras(bundle: string): BundleExtras {
  const file = path.join(bundle, 'shim.json');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
  const extras = JSON.parse(text) as BundleExtras;
  if (extras.log !== undefined && !path.isAbsolute(extras.log))
    throw new HakoError('invalid-argument', `"${file}": the log path must be absolute`);
  return extras;
}
