import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { HakoError, notFound } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { unmountAll } from '#sys/mount.ts';
import { isAlive, processStat } from '#sys/process.ts';
import { cgroupsOf, mainCgroup, processesIn } from './cgroups.ts';
import type { KeeperLink } from './link.ts';
import { OciRuntime, type CheckpointOptions } from './oci-runtime.ts';
import { noteOom, oomFile, oomKills, OomWatch, wasOom } from './oom.ts';
import { ProcessStdio } from './process-stdio.ts';
import type { Pump } from './pump/pump.ts';
import { removeRecord, writeRecord, type ProcessRecord, type StdioRequest, type TaskRecord } from './record.ts';
import { clampOomScore, type SpecProcess } from './spec.ts';
import { statsOf } from './stats.ts';

export interface TaskParts {
  readonly pump: Pump;
  readonly link: KeeperLink;
  readonly directory: string;
  readonly logger: Logger;
  /** Runs something that gives a pid while exits of unknown pids are kept, and then asks for the pid's. */
  readonly expecting: <T>(body: () => Promise<T>) => Promise<T>;
  readonly owner?: { readonly uid: number; readonly gid: number };
}

type Stats = ReturnType<typeof statsOf>;

/** How a process ended; `at` in milliseconds since 1970. */
export interface ProcessExit {
  readonly status: number;
  readonly at: number;
}

/** How long output is waited for when something else keeps the pipe open, in milliseconds. */
const grace = 100;

/** One process of a task. */
export class TaskProcess {
  readonly record: ProcessRecord;
  readonly stdio: ProcessStdio;
  readonly #ended = Promise.withResolvers<ProcessExit>();

  constructor(record: ProcessRecord, stdio: ProcessStdio) {
    this.record = record;
    this.stdio = stdio;
  }

  /** Resolves when it has ended and its output is in the spool. */
  get ended(): Promise<ProcessExit> {
    return this.#ended.promise;
  }

  end(exit: ProcessExit): void {
    this.#ended.resolve(exit);
  }
}

export const newProcessRecord = (key: string, execId: string, stdio: StdioRequest): ProcessRecord => ({
  execId,
  key: `${key}/${encodeURIComponent(execId)}/${Date.now().toString(36)}${(serial++).toString(36)}`,
  stdio,
  pid: 0,
  startTime: 0,
  status: 'created',
});
let serial = 0;

/** A container with its processes. Its methods are called one after the other, but for `kill` and reading. */
export class Task {
  readonly record: TaskRecord;
  readonly init: TaskProcess;
  readonly execs = new Map<string, TaskProcess>();
  readonly #parts: TaskParts;
  readonly #runtime: OciRuntime;
  #lastStats: Stats | undefined;
  #oom: OomWatch | undefined;
  #removal: Promise<void> | undefined;

  constructor(record: TaskRecord, parts: TaskParts) {
    this.record = record;
    this.#parts = parts;
    this.#runtime = new OciRuntime(record.runtime, record.id, record.bundle);
    this.init = this.#process(record.init);
    for (const exec of Object.values(record.execs)) this.execs.set(exec.execId, this.#process(exec));
  }

  #process(record: ProcessRecord): TaskProcess {
    const { pump, link, directory, owner } = this.#parts;
    const first = record.execId === '';
    const stdio = new ProcessStdio({
      pump,
      link,
      directory,
      key: record.key,
      prefix:
        path.join(this.record.bundle, first ? '' : `exec-${encodeURIComponent(record.execId)}-`) + (first ? '/' : ''),
      request: record.stdio,
      spooled: first || record.stdio.terminal,
      owner: { id: first ? this.record.id : record.execId, namespace: this.record.namespace },
      ...(first && this.record.log !== undefined ? { log: this.record.log } : {}),
      ...(owner === undefined ? {} : { io: owner }),
    });
    return new TaskProcess(record, stdio);
  }

  get key(): string {
    return `${this.record.namespace}/${this.record.id}`;
  }

  save(): void {
    if (this.record.phase !== 'deleted') writeRecord(this.record);
  }

  *processes(): IterableIterator<TaskProcess> {
    yield this.init;
    yield* this.execs.values();
  }

  /** not-found when there is no such process. */
  process(execId: string): TaskProcess {
    const found = execId === '' ? this.init : this.execs.get(execId);
    if (found === undefined) throw notFound('process', `${this.record.id}/${execId}`);
    return found;
  }

  /** Makes the container. Undoes everything when that fails. */
  async create(): Promise<number> {
    const { init } = this;
    this.save();
    mkdirSync(this.record.runtime.root, { recursive: true, mode: 0o711 });
    try {
      await this.#clearWay();
      const stdio = await init.stdio.prepare();
      const creating = this.#runtime.create({ stdio, ...consoleOf(init.stdio) });
      init.stdio.spawned();
      const pid = await creating;
      const stat = processStat(pid);
      if (stat !== undefined) this.record.cgroups = cgroupsOf(pid);
      this.watchMemory();
      await init.stdio.begin();
      // Last, since from here on its exit is taken for ours.
      init.record.startTime = stat?.startTime ?? 0;
      init.record.pid = pid;
      this.record.phase = 'alive';
      this.save();
      return init.record.pid;
    } catch (error) {
      await this.abandon();
      throw error;
    }
  }

  /** Begins to note when the container is out of memory. */
  watchMemory(): void {
    const memory = this.#memory;
    if (memory === undefined || this.init.record.status === 'stopped') return;
    try {
      this.#oom = new OomWatch(memory, this.#parts.pump, () => noteOom(this.record.bundle));
    } catch (error) {
      this.#parts.logger.log('debug', 'the kernel does not tell of a lack of memory', { error: String(error) });
    }
  }

  get #memory(): string | undefined {
    return this.record.cgroups['memory'] ?? this.record.cgroups[''];
  }

  /** A container of this name in our own state directory is what a crash has left: no task is known by it. */
  async #clearWay(): Promise<void> {
    const { root } = this.record.runtime;
    const ours = root.startsWith(`${path.dirname(this.#parts.directory)}/`);
    if (ours && existsSync(path.join(root, this.record.id))) await this.#runtime.delete(true);
  }

  /** Removes whatever there is of a task that was never whole. */
  async abandon(): Promise<void> {
    this.record.phase = 'deleted';
    await this.#runtime.delete(true).catch(() => {});
    await this.init.stdio.failed();
    if (this.record.mounted) unmountAll(path.join(this.record.bundle, 'rootfs'));
    removeRecord(this.record.bundle);
  }

  async start(): Promise<number> {
    const { record } = this.init;
    if (record.status !== 'created')
      throw new HakoError('failed-precondition', `task "${this.record.id}": cannot be started, it is ${record.status}`);
    this.init.stdio.openInput();
    await this.#runtime.start(this.init.ended);
    // It may have ended meanwhile, and that is the later state.
    if (record.status === 'created') record.status = 'running';
    this.save();
    return record.pid;
  }

  /** Prepares a further process; `spec` is an OCI process as JSON. */
  addExec(execId: string, spec: Uint8Array, stdio: StdioRequest): void {
    if (this.execs.has(execId))
      throw new HakoError('already-exists', `process "${this.record.id}/${execId}": already exists`);
    if (this.init.record.status === 'stopped')
      throw new HakoError('failed-precondition', `task "${this.record.id}": is not running`);
    if (this.record.paused)
      throw new HakoError('failed-precondition', `task "${this.record.id}": is paused, resume it first`);
    const described = JSON.parse(Buffer.from(spec).toString('utf8')) as SpecProcess;
    described.terminal = stdio.terminal;
    clampOomScore(described, `${this.record.id}/${execId}`, this.#parts.logger);
    const exec = this.#process(newProcessRecord(this.key, execId, stdio));
    exec.stdio.check();
    writeFileSync(this.#execFile(execId, 'process.json'), JSON.stringify(described), { mode: 0o600 });
    this.execs.set(execId, exec);
    this.record.execs[execId] = exec.record;
    this.save();
  }

  #execFile(execId: string, name: string): string {
    return path.join(this.record.bundle, `exec-${encodeURIComponent(execId)}-${name}`);
  }

  async startExec(execId: string): Promise<number> {
    const exec = this.process(execId);
    const { record } = exec;
    if (record.status !== 'created')
      throw new HakoError(
        'failed-precondition',
        `process "${this.record.id}/${execId}": cannot be started, it is ${record.status}`,
      );
    if (this.init.record.status === 'stopped')
      throw new HakoError('failed-precondition', `task "${this.record.id}": is not running`);
    record.status = 'starting';
    this.save();
    try {
      await this.#parts.expecting(async () => {
        const stdio = await exec.stdio.prepare();
        const files = { specFile: this.#execFile(execId, 'process.json'), pidFile: this.execPidFile(execId) };
        const starting = this.#runtime.exec({ ...files, stdio, ...consoleOf(exec.stdio) });
        exec.stdio.spawned();
        const pid = await starting;
        record.startTime = processStat(pid)?.startTime ?? 0;
        await exec.stdio.begin();
        exec.stdio.openInput();
        // Last, since from here on its exit is taken for ours.
        record.pid = pid;
        record.status = 'running';
      });
    } catch (error) {
      record.status = 'stopped';
      record.exit = { status: 255, at: Date.now() };
      await exec.stdio.failed();
      exec.end(record.exit);
      this.save();
      throw error;
    }
    this.save();
    return record.pid;
  }

  execPidFile(execId: string): string {
    return this.#execFile(execId, 'pid');
  }

  /** A process has been reaped. Writes it down at once; who waits is told when the output is whole. */
  async reaped(process: TaskProcess, exit: ProcessExit): Promise<void> {
    process.record.status = 'stopped';
    process.record.exit = exit;
    this.save();
    if (process === this.init) {
      if (!this.record.ownProcesses) this.#killRest();
      // The exit must not be heard of before its cause.
      if (this.#memory !== undefined && oomKills(this.#memory) > 0 && !wasOom(this.record.bundle))
        noteOom(this.record.bundle);
      // Its cgroups go with the container, and clients still may ask.
      this.#lastStats = statsOf(this.record.cgroups, this.record.id);
      // The runtime's part of the removal is no longer needed by anyone, so it runs while clients hear of the exit.
      this.#removal = this.#runtime.delete(false);
      this.#removal.catch((error: unknown) =>
        this.#parts.logger.log('warn', 'container is not deleted yet', { id: this.record.id, error: String(error) }),
      );
    }
    await process.stdio.drained(grace);
    process.end(exit);
  }

  /** What the container uses, or has used. */
  stats(): Stats {
    return this.#lastStats ?? statsOf(this.record.cgroups, this.record.id);
  }

  #killRest(): void {
    for (const pid of this.pids()) signal(pid, 9);
  }

  /** Every process of the container, by its cgroup; without one, those we have started. */
  pids(): number[] {
    const main = mainCgroup(this.record.cgroups);
    if (main !== undefined) return processesIn(main);
    return [...this.processes()]
      .filter(({ record }) => isAlive(record.pid, record.startTime))
      .map(({ record }) => record.pid);
  }

  /** Signals a process, or with `all` every one of the container. not-found when it has ended. */
  async kill(execId: string, number: number, all: boolean): Promise<void> {
    const { record } = this.process(execId);
    if (all && execId === '') {
      for (const pid of this.pids()) signal(pid, number);
    } else {
      if (execId !== '' && record.status === 'created')
        throw new HakoError('failed-precondition', `process "${this.record.id}/${execId}": was not started`);
      const alive = record.pid > 0 && record.status !== 'stopped' && isAlive(record.pid, record.startTime);
      if (!alive)
        throw new HakoError(
          'not-found',
          `process "${this.record.id}${execId === '' ? '' : `/${execId}`}": has ended or was not started`,
        );
      signal(record.pid, number, execId === '' ? refusedFirst : refusedFurther);
    }
    // A frozen process of cgroup v1 dies only when it thaws.
    const SIGKILL = 9;
    if (number === SIGKILL && this.record.paused) await this.resume();
  }

  async pause(): Promise<void> {
    await this.#runtime.pause();
    this.record.paused = true;
    this.save();
  }

  async resume(): Promise<void> {
    await this.#runtime.resume();
    this.record.paused = false;
    this.save();
  }

  /** Writes the state of all processes into a directory. `workPath` is for CRIU's own files, '' for a passing place. */
  async checkpoint(options: CheckpointOptions): Promise<void> {
    if (options.workPath !== '') return this.#runtime.checkpoint(options);
    const workPath = path.join(this.record.bundle, 'criu-work');
    try {
      await this.#runtime.checkpoint({ ...options, workPath });
    } finally {
      rmSync(workPath, { recursive: true, force: true });
    }
  }

  async update(resources: Uint8Array): Promise<void> {
    const file = path.join(this.record.bundle, 'resources.json');
    writeFileSync(file, resources, { mode: 0o600 });
    try {
      await this.#runtime.update(file);
    } finally {
      rmSync(file, { force: true });
    }
  }

  /** Removes a further process that has ended, or was never started. */
  async deleteExec(execId: string): Promise<ProcessExit & { pid: number }> {
    const exec = this.process(execId);
    if (exec.record.status === 'running' || exec.record.status === 'starting') {
      throw new HakoError('failed-precondition', `process "${this.record.id}/${execId}": is still running`);
    }
    const exit = exec.record.status === 'stopped' ? await exec.ended : { status: 0, at: 0 };
    exec.stdio.remove();
    for (const name of ['process.json', 'pid']) rmSync(this.#execFile(execId, name), { force: true });
    this.execs.delete(execId);
    delete this.record.execs[execId];
    this.save();
    return { ...exit, pid: exec.record.pid };
  }

  /** Removes the container, which has ended or was never started; the bundle stays with whoever made it. */
  async delete(): Promise<ProcessExit & { pid: number }> {
    const { record } = this.init;
    if (record.status === 'running' || record.status === 'starting') {
      throw new HakoError('failed-precondition', `task "${this.record.id}": is still running`);
    }
    if (record.status === 'created') signal(record.pid, 9);
    const exit = await this.init.ended;
    // When the early removal failed, something was in the way that may be gone by now.
    await (this.#removal ?? this.#runtime.delete(true)).catch(() => this.#runtime.delete(true));
    for (const exec of this.execs.values()) {
      exec.stdio.remove();
      for (const name of ['process.json', 'pid']) rmSync(this.#execFile(exec.record.execId, name), { force: true });
    }
    this.init.stdio.remove();
    this.#oom?.stop();
    if (this.record.mounted) unmountAll(path.join(this.record.bundle, 'rootfs'));
    this.record.phase = 'deleted';
    for (const name of ['init.pid', oomFile]) rmSync(path.join(this.record.bundle, name), { force: true });
    removeRecord(this.record.bundle);
    return { ...exit, pid: record.pid };
  }
}

const consoleOf = (stdio: ProcessStdio): { consoleSocket?: string } => {
  const { consoleSocket } = stdio;
  return consoleSocket === undefined ? {} : { consoleSocket };
};

/** How containerd's shims, which leave signals to runc, say that there is no such signal. */
const refusedFirst =
  'unknown error after kill: runc did not terminate successfully: exit status 1: unable to signal init: invalid argument\n';
const refusedFurther = 'exec kill error: unknown error after kill: invalid argument';

/** kill(2); a process that has gone meanwhile is what was wanted. */
function signal(pid: number, number: number, refused = refusedFurther): void {
  const SIGRTMAX = 64;
  if (number > SIGRTMAX) throw new HakoError('unknown', refused);
  try {
    process.kill(pid, number);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
