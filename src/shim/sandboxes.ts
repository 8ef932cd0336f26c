import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { alreadyExists, codeOf, HakoError, invalid, messageOf, notFound } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { MountWords } from '#sys/mount.ts';
import type { RuntimeChoice } from './oci-runtime.ts';
import { namesProcess, readSpec, setNetns } from './spec.ts';
import type { ProcessExit, Task } from './task.ts';
import type { Tasks } from './tasks.ts';

export interface NewSandbox {
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  readonly rootfs: readonly MountWords[];
  readonly netns: string;
  readonly runtime: RuntimeChoice;
}

/** All that the next shim must know of a sandbox. Kept as JSON in its bundle. */
interface SandboxRecord {
  readonly version: 1;
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  /** True when its spec names a process, which is a task of the sandbox's own id. */
  readonly process: boolean;
  readonly createdAt: number;
  started: boolean;
  /** Of one that has no process: how and when it was stopped. */
  exit?: ProcessExit;
}

export interface SandboxState {
  readonly pid: number;
  readonly state: 'created' | 'ready' | 'stopped';
  readonly createdAt: number;
  readonly exit?: ProcessExit;
  readonly bundle: string;
}

const recordFile = 'sandbox.json';
const quiet = { stdin: '', stdout: '', stderr: '', terminal: false };
const SIGTERM = 15;
const SIGKILL = 9;

/** One sandbox: what its containers live in. */
class Sandbox {
  readonly record: SandboxRecord;
  readonly task: Task | undefined;
  readonly #ended = Promise.withResolvers<ProcessExit>();

  constructor(record: SandboxRecord, task: Task | undefined) {
    this.record = record;
    this.task = task;
    if (task !== undefined) void task.init.ended.then((exit) => this.#ended.resolve(exit));
    else if (record.exit !== undefined) this.#ended.resolve(record.exit);
  }

  get ended(): Promise<ProcessExit> {
    return this.#ended.promise;
  }

  get exit(): ProcessExit | undefined {
    return this.task === undefined ? this.record.exit : this.task.init.record.exit;
  }

  save(): void {
    writeRecord(this.record);
  }

  end(exit: ProcessExit): void {
    this.record.exit = exit;
    this.save();
    this.#ended.resolve(exit);
  }
}

/**
 * The sandboxes of this shim. One whose spec names a process is that process, a container that others may share namespaces
 * with; another is a name and a state. Changes of one are made one after the other, by the lock of its task.
 */
export class Sandboxes {
  readonly #tasks: Tasks;
  readonly #logger: Logger;
  readonly #sandboxes = new Map<string, Sandbox>();

  constructor(parts: { tasks: Tasks; logger: Logger }) {
    this.#tasks = parts.tasks;
    this.#logger = parts.logger;
  }

  /** Leaves nothing behind when it fails. */
  async create(request: NewSandbox): Promise<void> {
    const { namespace, id, bundle, rootfs, netns, runtime } = request;
    const key = `${namespace}/${id}`;
    await this.#tasks.alone(namespace, id, async () => {
      if (this.#sandboxes.has(key)) throw alreadyExists('sandbox', id);
      const process = existsSync(path.join(bundle, 'config.json')) && namesProcess(readSpec(bundle, this.#logger));
      if (!process && rootfs.length > 0) throw invalid(`sandbox "${id}": has a rootfs, but its spec names no process`);
      if (process && netns !== '') setNetns(bundle, netns);
      const record: SandboxRecord = {
        version: 1,
        namespace,
        id,
        bundle,
        process,
        createdAt: Date.now(),
        started: false,
      };
      // First, so that a shim that comes after a crash knows whose process it finds.
      writeRecord(record);
      try {
        if (process) await this.#tasks.create({ namespace, id, bundle, rootfs, stdio: quiet, runtime });
      } catch (error) {
        removeRecord(record);
        throw error;
      }
      const sandbox = new Sandbox(record, process ? this.#tasks.get(namespace, id) : undefined);
      this.#sandboxes.set(key, sandbox);
    });
  }

  async start(namespace: string, id: string): Promise<SandboxState> {
    const sandbox = this.#get(namespace, id);
    await this.#tasks.alone(namespace, id, async () => {
      const { record, task } = sandbox;
      if (record.started || sandbox.exit !== undefined) {
        const now = sandbox.exit === undefined ? 'running' : 'stopped';
        throw new HakoError('failed-precondition', `sandbox "${id}": cannot be started, it is ${now}`);
      }
      if (task !== undefined) await task.start();
      record.started = true;
      sandbox.save();
    });
    return stateOf(sandbox);
  }

  state(namespace: string, id: string): SandboxState {
    return stateOf(this.#get(namespace, id));
  }

  /** The task that the sandbox is, when it is a process. */
  task(namespace: string, id: string): Task | undefined {
    return this.#get(namespace, id).task;
  }

  async wait(namespace: string, id: string): Promise<ProcessExit> {
    return await this.#get(namespace, id).ended;
  }

  /** Asks its process to end, and after `seconds` no longer asks. Idempotent. */
  async stop(namespace: string, id: string, seconds: number): Promise<void> {
    const sandbox = this.#get(namespace, id);
    if (sandbox.exit !== undefined) return;
    if (sandbox.task === undefined) return sandbox.end({ status: 0, at: Date.now() });
    if (seconds > 0) {
      await kill(sandbox.task, SIGTERM);
      await Promise.race([sandbox.ended, sleep(seconds * 1000, undefined, { ref: false })]);
    }
    if (sandbox.exit === undefined) await kill(sandbox.task, SIGKILL);
    await sandbox.ended;
  }

  /** Ends and removes a sandbox; its bundle stays with whoever made it. */
  async shutdown(namespace: string, id: string): Promise<void> {
    const sandbox = this.#get(namespace, id);
    await this.stop(namespace, id, 0);
    await this.#tasks.alone(namespace, id, async () => {
      if (this.#sandboxes.get(`${namespace}/${id}`) !== sandbox) return;
      if (sandbox.task !== undefined) await this.#tasks.delete(sandbox.task);
      removeRecord(sandbox.record);
      this.#sandboxes.delete(`${namespace}/${id}`);
    });
  }

  /** Takes up those that an earlier shim left below a directory, whose processes have been taken up already. */
  recover(directory: string): void {
    for (const namespace of names(directory)) {
      for (const id of names(path.join(directory, namespace))) {
        const file = path.join(directory, namespace, id, recordFile);
        try {
          if (existsSync(file)) this.#adopt(JSON.parse(readFileSync(file, 'utf8')) as SandboxRecord);
        } catch (error) {
          this.#logger.log('error', 'sandbox could not be taken up', { file, error: messageOf(error) });
        }
      }
    }
  }

  #adopt(record: SandboxRecord): void {
    const { namespace, id } = record;
    const task = record.process ? this.#tasks.find(namespace, id) : undefined;
    // Half made: what there was of its process has been removed.
    if (record.process && task === undefined) return removeRecord(record);
    // A shim that died between the process's start and its own note of it.
    if (task !== undefined && task.init.record.status !== 'created') record.started = true;
    this.#sandboxes.set(`${namespace}/${id}`, new Sandbox(record, task));
  }

  #get(namespace: string, id: string): Sandbox {
    const found = this.#sandboxes.get(`${namespace}/${id}`);
    if (found === undefined) throw notFound('sandbox', id);
    return found;
  }
}

/** Writes the record so that a reader sees the old one or the new one, never half of it. */
function writeRecord(record: SandboxRecord): void {
  const file = path.join(record.bundle, recordFile);
  writeFileSync(`${file}.new`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

const removeRecord = ({ bundle }: SandboxRecord): void => rmSync(path.join(bundle, recordFile), { force: true });

function stateOf(sandbox: Sandbox): SandboxState {
  const { record, task, exit } = sandbox;
  const { createdAt, bundle, started } = record;
  const pid = task?.init.record.pid ?? 0;
  if (exit !== undefined) return { pid, state: 'stopped', createdAt, exit, bundle };
  return { pid, state: started ? 'ready' : 'created', createdAt, bundle };
}

/** One that has ended meanwhile is what was wanted. */
async function kill(task: Task, signal: number): Promise<void> {
  try {
    await task.kill('', signal, false);
  } catch (error) {
    if (codeOf(error) !== 'not-found') throw error;
  }
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
