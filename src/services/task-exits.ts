import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import { abortable } from '#base/locks.ts';
import type { Logger } from '#base/log.ts';
import { now } from '#base/moment.ts';
import type { Exit, ProcessRef, Runtime } from '#core/runtime.ts';
import type { Ledger } from '#metadata/ledger.ts';
import { Background } from './background.ts';
import type { Events } from './events.ts';

export interface TaskExitsParts {
  readonly ledger: Ledger;
  readonly events: Events;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** Called once for each first process that has ended; its errors are logged. */
  readonly exited: (ref: ProcessRef, exit: Exit) => Promise<void>;
}

/** How a process ended whose end nobody saw. Docker's number for it. */
export const LOST_STATUS = 255;
const LOST = 'the process was lost: nobody saw how it ended';
/** Between two tries to ask a shim that does not answer. */
const RETRY_MS = 500;

interface Watched {
  readonly ref: ProcessRef;
  readonly exit: PromiseWithResolvers<Exit>;
  /** Resolves when those who hang on its end have been told. */
  readonly settled: PromiseWithResolvers<void>;
  readonly stop: AbortController;
  /** A start in flight: its event comes before that of the exit, however fast the process ends. */
  starting: Promise<void>;
  /** How often it was out of memory when that was last told. */
  ooms: number;
  waiting: boolean;
}

/** Waits for every process once, whoever wants to know, and records, publishes and hands on how it ended. */
export class TaskExits {
  readonly #parts: TaskExitsParts;
  readonly #watched = new Map<string, Watched>();
  readonly #background: Background;

  constructor(parts: TaskExitsParts) {
    this.#parts = parts;
    this.#background = new Background(parts.logger);
  }

  /** Makes it possible to wait for a process that does not exist yet. */
  expect(ref: ProcessRef): void {
    this.#entry(ref);
  }

  /** Begins to wait. Doing so twice is doing so once. */
  watch(ref: ProcessRef): void {
    const entry = this.#entry(ref);
    if (entry.waiting) return;
    entry.waiting = true;
    this.#background.start('waiting for a process', (signal) =>
      this.#follow(entry, AbortSignal.any([signal, entry.stop.signal])),
    );
  }

  /** Keeps the exit of a process back until its start has been told. */
  starting(ref: ProcessRef, done: Promise<void>): void {
    this.#entry(ref).starting = done;
  }

  /** Whether anybody watches it: then its exit is known to the ledger before it is safe and told. */
  watches(ref: ProcessRef): boolean {
    return this.#watched.get(keyOf(ref))?.waiting === true;
  }

  /** Resolves with the exit; rejects with not-found when the process is deleted before it ended. */
  exit(ref: ProcessRef, signal: AbortSignal): Promise<Exit> {
    return abortable(this.#entry(ref).exit.promise, signal);
  }

  /** Resolves when those who hang on the end of a process have been told, at once when nobody waits for it. */
  async settled(ref: ProcessRef, signal: AbortSignal): Promise<void> {
    const entry = this.#watched.get(keyOf(ref));
    if (entry?.waiting === true) await abortable(entry.settled.promise, signal);
  }

  /** Records that nobody knows how a process ended. */
  async lose(ref: ProcessRef): Promise<void> {
    const entry = this.#entry(ref);
    entry.waiting = true;
    await this.#record(entry, this.#lost(ref), LOST);
  }

  /** The process is deleted. */
  forget(ref: ProcessRef): void {
    const entry = this.#watched.get(keyOf(ref));
    if (entry === undefined) return;
    this.#watched.delete(keyOf(ref));
    entry.stop.abort();
    entry.exit.reject(new HakoError('not-found', `process ${ref.execId || ref.id} was deleted: not found`));
    entry.settled.resolve();
  }

  /** Stops waiting, for the daemon's end: processes run on. */
  close(): Promise<void> {
    return this.#background.stop();
  }

  async #follow(entry: Watched, signal: AbortSignal): Promise<void> {
    using _ooms = this.#watchOoms(entry);
    for (;;) {
      try {
        const exit = await this.#parts.runtime.wait(entry.ref, signal);
        return await this.#record(entry, exit, '');
      } catch (error) {
        if (signal.aborted) return;
        if (codeOf(error) === 'not-found') return await this.#record(entry, this.#lost(entry.ref), LOST);
        this.#parts.logger.log('warn', 'a shim does not tell how a process ended; asking again', {
          ...entry.ref,
          error: messageOf(error),
        });
        await sleep(RETRY_MS, undefined, { signal }).catch(() => {});
        if (signal.aborted) return;
      }
    }
  }

  /** Tells when the container is out of memory. Where that cannot be watched, it is told with the exit. */
  #watchOoms(entry: Watched): Disposable | undefined {
    if (entry.ref.execId !== '') return undefined;
    entry.ooms = this.#parts.runtime.ooms(entry.ref);
    try {
      return this.#parts.runtime.watchOoms(entry.ref, () => this.#tellOoms(entry));
    } catch (error) {
      this.#parts.logger.log('debug', 'a container is not watched for a lack of memory', { error: messageOf(error) });
      return undefined;
    }
  }

  #tellOoms(entry: Watched): void {
    const { runs } = this.#parts.ledger;
    const { namespace, id } = entry.ref;
    const ooms = this.#parts.runtime.ooms(entry.ref);
    const run = runs.find(namespace, id);
    // What came before this daemon's start was told by the last one, if that lived to tell it.
    if (ooms === 0 || (ooms <= entry.ooms && run?.oomKilled !== false)) return;
    entry.ooms = ooms;
    this.#parts.ledger.transaction(() => {
      if (run !== undefined) runs.put(namespace, id, { ...run, oomKilled: true });
      const fields = { containerId: id };
      this.#parts.events.publish(namespace, '/tasks/oom', { kind: 'plain', type: 'TaskOOM', fields }, { sync: false });
    });
  }

  async #record(entry: Watched, exit: Exit, error: string): Promise<void> {
    await entry.starting;
    if (entry.ref.execId === '') this.#tellOoms(entry);
    const { ledger, events } = this.#parts;
    const { namespace, id, execId } = entry.ref;
    const first = ledger.transaction(() => {
      // A further process that could not be started has an exit for those who wait, and no event.
      const unborn = execId !== '' && ledger.processes.find(namespace, id, execId)?.status === 'created';
      const recorded = ledger.processes.stop(namespace, id, execId, exit);
      if (!recorded) return false;
      if (execId === '') this.#recordRun(entry.ref, exit, error);
      if (unborn) return true;
      const fields = { containerId: id, id: execId || id, pid: exit.pid, exitStatus: exit.status, exitedAt: exit.at };
      events.publish(namespace, '/tasks/exit', { kind: 'plain', type: 'TaskExit', fields });
      return true;
    });
    // A ledger that cannot be synced is no reason to keep an exit from those who wait.
    await ledger.durable().catch((failure: unknown) => {
      this.#parts.logger.log('error', 'an exit is not safe from a power cut', { error: messageOf(failure) });
    });
    entry.exit.resolve(exit);
    try {
      if (first && execId === '') await this.#parts.exited(entry.ref, exit);
    } finally {
      entry.settled.resolve();
    }
  }

  #recordRun({ namespace, id }: ProcessRef, exit: Exit, error: string): void {
    const { runs } = this.#parts.ledger;
    const before = runs.find(namespace, id);
    runs.put(namespace, id, {
      status: 'exited',
      pid: 0,
      exitCode: exit.status,
      error: error || (before?.error ?? ''),
      oomKilled: before?.oomKilled ?? false,
      ...(before?.startedAt === undefined ? {} : { startedAt: before.startedAt }),
      finishedAt: exit.at,
    });
  }

  #lost({ namespace, id, execId }: ProcessRef): Exit {
    const pid = this.#parts.ledger.processes.find(namespace, id, execId)?.pid ?? 0;
    return { pid, status: LOST_STATUS, at: now() };
  }

  #entry(ref: ProcessRef): Watched {
    let entry = this.#watched.get(keyOf(ref));
    if (entry === undefined) {
      entry = {
        ref: { namespace: ref.namespace, id: ref.id, execId: ref.execId },
        exit: Promise.withResolvers(),
        settled: Promise.withResolvers(),
        stop: new AbortController(),
        starting: Promise.resolve(),
        ooms: 0,
        waiting: false,
      };
      // Often nobody waits when a process is deleted.
      entry.exit.promise.catch(() => {});
      this.#watched.set(keyOf(ref), entry);
    }
    return entry;
  }
}

const keyOf = (ref: ProcessRef): string => `${ref.namespace}/${ref.id}/${ref.execId}`;
