import { join } from 'node:path';
import { cleanupSignal, type Call } from '#base/call.ts';
import { codeOf, HakoError, invalid, messageOf } from '#base/errors.ts';
import { checkIdentifier } from '#base/identifiers.ts';
import { Locks } from '#base/locks.ts';
import { silent, type Logger } from '#base/log.ts';
import { now } from '#base/moment.ts';
import type { Any } from '#core/any.ts';
import type { Container } from '#core/containers.ts';
import type { Mount } from '#core/mounts.ts';
import type { Exit, ProcessRef, ProcessState, Runtime, Stdio } from '#core/runtime.ts';
import type { Sandboxer } from '#core/sandboxes.ts';
import type { Ledger } from '#metadata/ledger.ts';
import type { ProcessRow } from '#metadata/tables/processes.ts';
import { ContainerFiles } from './container-files.ts';
import type { Containers } from './containers.ts';
import type { Events } from './events.ts';
import type { Snapshots } from './snapshots.ts';
import { checkSandbox } from './task-sandbox.ts';
import { LOST_STATUS, TaskExits } from './task-exits.ts';
import { HookedTasks } from './task-hooks.ts';
import { reconcileTasks } from './task-reconcile.ts';

/** A process as clients see it. `execId` '' is the first one. */
export interface TaskProcess extends ProcessState {
  readonly containerId: string;
  readonly execId: string;
}

/** How a container's last run ended or stands. It outlives the task, and the daemon. */
export interface RunState {
  readonly status: 'created' | 'running' | 'paused' | 'exited' | 'dead';
  readonly pid: number;
  readonly exitCode: number;
  readonly error: string;
  readonly oomKilled: boolean;
  readonly startedAt?: Date;
  readonly finishedAt?: Date;
}

/** A container as hooks are told of it. */
export type HookedContainer = Container & { readonly namespace: string };

/** A mount, spec change or resource that hangs on a task's life, whichever door starts it. */
export interface TaskHooks {
  /** Before the task is made; may change the spec (network namespace). `released` follows when creation fails. */
  prepare(container: HookedContainer, spec: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
  /** After the first process has ended, however. Idempotent. */
  exited(container: HookedContainer, exit: Exit): Promise<void>;
  /** After the task is gone, and again at boot for what was lost. Idempotent. */
  released(container: { namespace: string; id: string }): Promise<void>;
}

export interface NewTask {
  readonly id: string;
  /** Empty: the service mounts the container's own snapshot. */
  readonly rootfs: readonly Mount[];
  readonly stdio: Stdio;
  /** Overrides the container's runtime options. */
  readonly options?: Any;
  /** Where the sandbox of the container serves the task API; '' or left out: where its sandboxer says. */
  readonly taskApiAddress?: string;
}

export interface TasksParts {
  readonly ledger: Ledger;
  readonly events: Events;
  readonly containers: Containers;
  readonly snapshots: Snapshots;
  readonly runtime: Runtime;
  /** Of whose sandboxes containers can be; none when left out. */
  readonly sandboxers?: ReadonlyMap<string, Sandboxer>;
  /** The daemon's root directory: logs are in `ROOT/containers/NAMESPACE/ID`. */
  readonly root: string;
  /** The daemon's state directory: bundles are in `STATE/tasks/NAMESPACE/ID`. */
  readonly state: string;
  readonly logger?: Logger;
}

const SIGKILL = 9;
/** How long a shim may take to tell a state, as containerd's `timeouts.task.state`. */
const STATE_TIMEOUT_MS = 2_000;

/** Running containers. One instance serves all three doors. */
export class Tasks {
  readonly #parts: TasksParts;
  readonly #logger: Logger;
  /** By process: its create, start and delete exclude each other. */
  readonly #locks = new Locks();
  readonly #hooks: HookedTasks;
  readonly #files: ContainerFiles;
  readonly #exits: TaskExits;

  constructor(parts: TasksParts) {
    this.#parts = parts;
    this.#logger = parts.logger ?? silent;
    this.#hooks = new HookedTasks(this.#logger);
    this.#files = new ContainerFiles(parts.root);
    this.#exits = new TaskExits({
      ledger: parts.ledger,
      events: parts.events,
      runtime: parts.runtime,
      logger: this.#logger,
      exited: (ref, exit) => this.#exited(ref, exit),
    });
    parts.containers.onDeleted((namespace, id) => this.#files.remove(namespace, id));
  }

  /** Called once by whoever owns what hangs on tasks. */
  addHooks(hooks: TaskHooks): void {
    this.#hooks.add(hooks);
  }

  /** Creates the container's first process, stopped. Leaves nothing behind when it fails. */
  async create(call: Call, task: NewTask): Promise<{ pid: number }> {
    checkIdentifier(call.namespace);
    const { ledger, runtime } = this.#parts;
    const ref = refOf(call, task.id, '');
    using _lock = await this.#lock(ref, call.signal);
    const container = this.#parts.containers.get(call, task.id);
    await checkSandbox(this.#parts, call, container, task.taskApiAddress ?? '');
    await this.#clearDebris(ref, call.signal);
    if (ledger.processes.find(call.namespace, task.id, '') !== undefined) {
      throw new HakoError('already-exists', `task ${task.id}: already exists`);
    }
    await using undo = new AsyncDisposableStack();
    ledger.processes.insert({ ...ref, stdio: task.stdio });
    undo.defer(() => ledger.processes.deleteTask(ref.namespace, ref.id));
    const rootfs = await this.#rootfs(call, container, task.rootfs);
    const spec = await this.#hooks.prepare({ ...container, namespace: call.namespace }, undo, call.signal);
    await this.#files.make(call.namespace, task.id);
    const options = task.options ?? container.runtime.options;
    const { pid } = await runtime.create(
      {
        namespace: call.namespace,
        id: task.id,
        spec,
        rootfs,
        stdio: task.stdio,
        runtime: { name: container.runtime.name, ...(options === undefined ? {} : { options }) },
        log: { path: this.#files.log(call.namespace, task.id) },
      },
      call.signal,
    );
    undo.move(); // Point of no return: a caller who leaves now leaves a task, not debris.
    ledger.transaction(() => {
      ledger.processes.setStatus(ref.namespace, ref.id, '', 'created', pid);
      ledger.runs.put(ref.namespace, ref.id, { status: 'created', pid, exitCode: 0, error: '', oomKilled: false });
      const bundle = this.#bundle(ref);
      const fields = { containerId: task.id, bundle, rootfs, io: task.stdio, checkpoint: '', pid };
      this.#publish(call, '/tasks/create', 'TaskCreate', fields);
    });
    this.#exits.watch(ref);
    return { pid };
  }

  async start(call: Call, id: string, execId: string): Promise<{ pid: number }> {
    const ref = refOf(call, id, execId);
    using _lock = await this.#lock(ref, call.signal);
    this.#row(call, id, execId);
    const told = Promise.withResolvers<void>();
    this.#exits.starting(ref, told.promise);
    try {
      const { pid } = await this.#parts.runtime.start(ref, call.signal);
      this.#started(ref, pid);
      this.#exits.watch(ref);
      return { pid };
    } catch (error) {
      if (execId === '') this.#noteError(ref, messageOf(error));
      throw error;
    } finally {
      told.resolve();
    }
  }

  /** Removes a process that has ended; `force` kills it first. */
  async delete(call: Call, id: string, execId: string, options: { force?: boolean } = {}): Promise<Exit> {
    const { ledger } = this.#parts;
    const ref = refOf(call, id, execId);
    using _lock = await this.#lock(ref, call.signal);
    if (execId === '') await this.#clearDebris(ref, call.signal);
    await this.#end(ref, this.#row(call, id, execId), options.force === true, call.signal);
    const removed = await this.#removeProcess(ref, call.signal);
    const exit = ledger.processes.find(ref.namespace, id, execId)?.exit ?? removed;
    if (execId === '') {
      // Before the row goes: a kill between the two only means that it is done again.
      await this.#hooks.released(ref);
      for (const exec of ledger.processes.execs(ref.namespace, id)) this.#exits.forget(exec);
      const fields = { containerId: id, pid: exit.pid, exitStatus: exit.status, exitedAt: exit.at, id: '' };
      ledger.transaction(() => {
        ledger.processes.deleteTask(ref.namespace, id);
        this.#publish(call, '/tasks/delete', 'TaskDelete', fields);
      });
    } else {
      ledger.processes.delete(ref.namespace, id, execId);
    }
    this.#exits.forget(ref);
    return exit;
  }

  /**
   * Takes back a task that is half made although nobody makes it, since its maker held the lock that we hold: the ledger
   * could not be written then, on a full disk for one.
   */
  async #clearDebris(ref: ProcessRef, signal: AbortSignal): Promise<void> {
    const { ledger, runtime } = this.#parts;
    if (ledger.processes.find(ref.namespace, ref.id, '')?.status !== 'creating') return;
    await runtime.discard(ref.namespace, ref.id, signal);
    await this.#hooks.released(ref);
    ledger.processes.deleteTask(ref.namespace, ref.id);
  }

  /** not-found unless the container has a task: what callers are told first, whatever else is wrong. */
  expect(call: Call, id: string): void {
    this.#row(call, id, '');
  }

  async exec(call: Call, id: string, execId: string, spec: Uint8Array, stdio: Stdio): Promise<void> {
    this.expect(call, id);
    if (execId === '') throw invalid('exec id cannot be empty: invalid argument');
    checkIdentifier(execId, `invalid exec id ${execId}`);
    const { ledger, runtime } = this.#parts;
    const ref = refOf(call, id, execId);
    using _lock = await this.#lock(ref, call.signal);
    const stopped = this.#row(call, id, '').status === 'stopped';
    if (ledger.processes.find(call.namespace, id, execId) !== undefined) {
      throw new HakoError('already-exists', `id ${execId}: already exists`);
    }
    if (stopped || this.runState(call, id)?.status === 'paused')
      throw new HakoError('failed-precondition', `cannot exec in a ${stopped ? 'stopped' : 'paused'} state`);
    await using undo = new AsyncDisposableStack();
    ledger.processes.insert({ ...ref, stdio });
    undo.defer(() => ledger.processes.delete(ref.namespace, id, execId));
    await runtime.exec(ref, { spec, stdio }, call.signal);
    undo.move();
    ledger.transaction(() => {
      ledger.processes.setStatus(ref.namespace, id, execId, 'created', 0);
      this.#publish(call, '/tasks/exec-added', 'TaskExecAdded', { containerId: id, execId });
    });
    this.#exits.expect(ref);
  }

  async get(call: Call, id: string, execId: string): Promise<TaskProcess> {
    return this.#process(this.#row(call, id, execId), call.signal);
  }

  async list(call: Call): Promise<TaskProcess[]> {
    const rows = this.#parts.ledger.processes.tasks(call.namespace).filter(({ status }) => status !== 'creating');
    return Promise.all(rows.map((row) => this.#process(row, call.signal)));
  }

  async kill(call: Call, id: string, execId: string, options: { signal: number; all: boolean }): Promise<void> {
    const row = this.#row(call, id, execId);
    if (row.status === 'stopped') throw new HakoError('not-found', 'process already finished: not found');
    await this.#parts.runtime.kill(refOf(call, id, execId), options, call.signal);
  }

  /** Resolves with the exit; at once when it has ended. */
  async wait(call: Call, id: string, execId: string): Promise<Exit> {
    const row = this.#row(call, id, execId);
    const ref = refOf(call, id, execId);
    if (row.exit !== undefined && !this.#exits.watches(ref)) return row.exit;
    return this.#exits.exit(ref, call.signal);
  }

  async resize(call: Call, id: string, execId: string, size: { width: number; height: number }): Promise<void> {
    this.#row(call, id, execId);
    await this.#parts.runtime.resize(refOf(call, id, execId), size, call.signal);
  }

  async closeStdin(call: Call, id: string, execId: string): Promise<void> {
    this.#row(call, id, execId);
    await this.#parts.runtime.closeStdin(refOf(call, id, execId), call.signal);
  }

  async pids(call: Call, id: string): Promise<{ pid: number; execId?: string }[]> {
    this.#row(call, id, '');
    return this.#parts.runtime.pids(refOf(call, id, ''), call.signal);
  }

  async pause(call: Call, id: string): Promise<void> {
    await this.#expect(call, id, 'running', 'pause');
    await this.#parts.runtime.pause(refOf(call, id, ''), call.signal);
    this.#noteStatus(call, id, 'paused');
    this.#publish(call, '/tasks/paused', 'TaskPaused', { containerId: id });
  }

  async resume(call: Call, id: string): Promise<void> {
    await this.#expect(call, id, 'paused', 'resume');
    await this.#parts.runtime.resume(refOf(call, id, ''), call.signal);
    this.#noteStatus(call, id, 'running');
    this.#publish(call, '/tasks/resumed', 'TaskResumed', { containerId: id });
  }

  /** Writes the state of the task's processes into a directory; `options` are the shim's own. */
  async checkpoint(call: Call, id: string, directory: string, options: Any | undefined): Promise<void> {
    const { status } = await this.#process(this.#row(call, id, ''), call.signal);
    if (status === 'created') throw new HakoError('failed-precondition', 'cannot checkpoint a task in created state');
    if (status === 'stopped') throw new HakoError('failed-precondition', 'cannot checkpoint a stopped container');
    await this.#parts.runtime.checkpoint(refOf(call, id, ''), directory, options, call.signal);
    this.#publish(call, '/tasks/checkpointed', 'TaskCheckpointed', { containerId: id, checkpoint: '' });
  }

  async stats(call: Call, id: string): Promise<Any> {
    this.#row(call, id, '');
    return this.#parts.runtime.stats(refOf(call, id, ''), call.signal);
  }

  async update(call: Call, id: string, resources: Any): Promise<void> {
    this.#row(call, id, '');
    await this.#parts.runtime.update(refOf(call, id, ''), resources, call.signal);
  }

  /** The last run of a container, undefined when it never ran. From the ledger: no shim is asked. */
  runState(call: Call, id: string): RunState | undefined {
    return this.#parts.ledger.runs.find(call.namespace, id);
  }

  /** Raw output files of the current run, from offset 0 (attach reads them), and the log over all runs. */
  output(call: Call, id: string): { stdout: string; stderr: string; log: string } {
    return { ...this.#parts.runtime.spool(call.namespace, id), log: this.#files.log(call.namespace, id) };
  }

  /** Agrees with kernel, shim and disk after a start; ends what the ledger does not know. */
  async reconcile(signal: AbortSignal): Promise<void> {
    await reconcileTasks(
      {
        ledger: this.#parts.ledger,
        runtime: this.#parts.runtime,
        exits: this.#exits,
        logger: this.#logger,
        released: (task) => this.#hooks.released(task),
        started: (ref, pid) => this.#started(ref, pid),
      },
      signal,
    );
    await this.#files.removeStrays(this.#parts.ledger);
  }

  /** Stops watching, for the daemon's end: containers run on. */
  close(): Promise<void> {
    return this.#exits.close();
  }

  async #rootfs(call: Call, container: Container, given: readonly Mount[]): Promise<readonly Mount[]> {
    if (given.length > 0 || container.snapshotKey === '') return given;
    return this.#parts.snapshots.mounts(call, container.snapshotter, container.snapshotKey);
  }

  #started(ref: ProcessRef, pid: number): void {
    const { ledger } = this.#parts;
    ledger.transaction(() => {
      const { id, execId } = ref;
      ledger.processes.setStatus(ref.namespace, id, execId, 'running', pid);
      if (execId !== '') {
        this.#publish(ref, '/tasks/exec-started', 'TaskExecStarted', { containerId: id, execId, pid });
        return;
      }
      this.#publish(ref, '/tasks/start', 'TaskStart', { containerId: id, pid });
      const startedAt = now();
      const run = { status: 'running', pid, exitCode: 0, error: '', oomKilled: false, startedAt } as const;
      ledger.runs.put(ref.namespace, ref.id, run);
    });
  }

  /** Makes sure that a process has ended, and that its end has been recorded, published and handed on. */
  async #end(ref: ProcessRef, row: ProcessRow, force: boolean, signal: AbortSignal): Promise<void> {
    if (row.status !== 'stopped') {
      const status = await this.#statusOf(ref, signal);
      const live = status === 'running' || status === 'paused' || status === 'pausing' || status === 'unknown';
      if (live && !force) {
        const what = ref.execId === '' ? 'task' : 'process';
        throw new HakoError(
          'failed-precondition',
          `${what} must be stopped before deletion: ${status}: failed precondition`,
        );
      }
      // A process that was added but never started has not begun to exist: it has no end either.
      const unborn = ref.execId !== '' && row.status === 'created' && !live && status !== 'stopped';
      if (unborn) return;
      if (live || status === 'created') await this.#kill(ref, status, signal);
      if (status === undefined) await this.#exits.lose(ref);
      else this.#exits.watch(ref);
      await this.#exits.exit(ref, AbortSignal.any([signal, cleanupSignal()]));
    }
    await this.#exits.settled(ref, AbortSignal.any([signal, cleanupSignal()]));
  }

  /** Undefined when no shim knows the process. */
  async #statusOf(ref: ProcessRef, signal: AbortSignal): Promise<ProcessState['status'] | undefined> {
    try {
      return (await this.#parts.runtime.state(ref, signal)).status;
    } catch (error) {
      if (codeOf(error) === 'not-found') return undefined;
      throw error;
    }
  }

  async #kill(ref: ProcessRef, status: ProcessState['status'] | undefined, signal: AbortSignal): Promise<void> {
    try {
      await this.#parts.runtime.kill(ref, { signal: SIGKILL, all: false }, signal);
      // What is frozen dies when it thaws.
      if (status === 'paused' || status === 'pausing') await this.#parts.runtime.resume(ref, signal);
    } catch (error) {
      // It may have ended by itself meanwhile.
      if (codeOf(error) !== 'not-found') throw error;
    }
  }

  async #removeProcess(ref: ProcessRef, signal: AbortSignal): Promise<Exit> {
    try {
      return await this.#parts.runtime.remove(ref, signal);
    } catch (error) {
      if (codeOf(error) !== 'not-found') throw error;
      if (ref.execId === '') await this.#parts.runtime.discard(ref.namespace, ref.id, signal);
      return { pid: 0, status: LOST_STATUS, at: now() };
    }
  }

  async #process(row: ProcessRow, signal: AbortSignal): Promise<TaskProcess> {
    const { id: containerId, execId, pid, stdio } = row;
    const bundle = this.#bundle(row);
    if (row.exit !== undefined) return { containerId, execId, pid, status: 'stopped', stdio, bundle, exit: row.exit };
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(STATE_TIMEOUT_MS)]);
      return { ...(await this.#parts.runtime.state(row, limit)), containerId, execId };
    } catch (error) {
      signal.throwIfAborted();
      this.#logger.log('debug', 'a shim does not tell the state of a process', {
        id: containerId,
        error: messageOf(error),
      });
      return { containerId, execId, pid, status: 'unknown', stdio, bundle };
    }
  }

  /** The row of a process that clients may see; not-found in containerd's words. */
  #row(call: Call, id: string, execId: string): ProcessRow {
    this.#parts.containers.get(call, id);
    const task = this.#parts.ledger.processes.find(call.namespace, id, '');
    if (task === undefined || task.status === 'creating') throw new HakoError('not-found', `task ${id} not found`);
    if (execId === '') return task;
    const row = this.#parts.ledger.processes.find(call.namespace, id, execId);
    if (row === undefined || row.status === 'creating') {
      throw new HakoError('not-found', `process does not exist ${execId}: not found`);
    }
    return row;
  }

  /** failed-precondition, in the words of containerd's shims, when the task is in another state. */
  async #expect(call: Call, id: string, wanted: 'running' | 'paused', verb: string): Promise<void> {
    const { status } = await this.#process(this.#row(call, id, ''), call.signal);
    if (status === wanted || status === 'unknown') return;
    const what =
      status === 'created'
        ? 'task in created state'
        : status === 'running'
          ? 'a running process'
          : `a ${status} container`;
    throw new HakoError('failed-precondition', `cannot ${verb} ${what}`);
  }

  #noteError(ref: ProcessRef, error: string): void {
    const { runs } = this.#parts.ledger;
    const run = runs.find(ref.namespace, ref.id);
    if (run !== undefined) runs.put(ref.namespace, ref.id, { ...run, error });
  }

  #noteStatus(call: Call, id: string, status: 'paused' | 'running'): void {
    const { ledger } = this.#parts;
    ledger.transaction(() => {
      const run = ledger.runs.find(call.namespace, id);
      if (run !== undefined && run.status !== 'exited') ledger.runs.put(call.namespace, id, { ...run, status });
    });
  }

  async #exited(ref: ProcessRef, exit: Exit): Promise<void> {
    const container = this.#parts.ledger.containers.find(ref.namespace, ref.id);
    if (container !== undefined) await this.#hooks.exited(ref.namespace, container, exit);
  }

  #publish(
    { namespace }: { namespace: string },
    topic: string,
    type: string,
    fields: Readonly<Record<string, unknown>>,
  ): void {
    this.#parts.events.publish(namespace, topic, { kind: 'plain', type, fields }, { sync: false });
  }

  #lock(ref: ProcessRef, signal: AbortSignal): Promise<Disposable> {
    return this.#locks.hold(`${ref.namespace}/${ref.id}/${ref.execId}`, signal);
  }

  #bundle(ref: { namespace: string; id: string }): string {
    return join(this.#parts.state, 'tasks', ref.namespace, ref.id);
  }
}

const refOf = (call: Call, id: string, execId: string): ProcessRef => ({ namespace: call.namespace, id, execId });
