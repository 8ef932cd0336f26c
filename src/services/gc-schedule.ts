import type { Logger } from '#base/log.ts';
import { messageOf } from '#base/errors.ts';

/** When garbage is collected; containerd's keys of `io.containerd.gc.v1.scheduler`, times in milliseconds. */
export interface GcScheduleOptions {
  /** The part of the time that looking for garbage may take, at most one half; 0 knows no such limit. */
  readonly pauseThreshold: number;
  /** So many deletions collect at once; 0: they wait for the next round. */
  readonly deletionThreshold: number;
  /** So many changes collect at the next round, even if nothing was deleted; 0: never. */
  readonly mutationThreshold: number;
  /** How long whoever asks for a collection waits for it to begin. */
  readonly scheduleDelayMs: number;
  /** When the first collection after a start is; 0: when it is needed. */
  readonly startupDelayMs: number;
}

export const gcScheduleDefaults: GcScheduleOptions = {
  pauseThreshold: 0.02,
  deletionThreshold: 0,
  mutationThreshold: 100,
  scheduleDelayMs: 0,
  startupDelayMs: 100,
};

/** A shorter collection counts as one of this length, so that rounds do not follow each other at once. */
const SHORTEST_PAUSE_MS = 5;

/**
 * Decides when to collect, as containerd's scheduler does: in rounds, whose distance follows from how long collections
 * took so far. A round without need is skipped; here no timer runs for it.
 */
export class GcSchedule {
  readonly #options: GcScheduleOptions;
  readonly #collect: () => Promise<{ readonly tookMs: number; readonly again: boolean }>;
  readonly #logger: Logger;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Infinity;
  /** The next round, in the time of `performance.now()`; undefined before the first is known. */
  #next: number | undefined;
  #interval = 1000;
  #tookSum = 0;
  #collections = 0;
  #triggered = false;
  /** Whether anything was deleted since the last collection: every change after that counts as a deletion too. */
  #dirty = false;
  #deletions = 0;
  #mutations = 0;
  #waiting: PromiseWithResolvers<void>[] = [];
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(
    options: GcScheduleOptions,
    collect: () => Promise<{ readonly tookMs: number; readonly again: boolean }>,
    logger: Logger,
  ) {
    this.#options = { ...options, pauseThreshold: Math.min(Math.max(options.pauseThreshold, 0), 0.5) };
    this.#collect = collect;
    this.#logger = logger;
  }

  /** From here on rounds take place. */
  start(): void {
    if (this.#options.startupDelayMs > 0) this.#plan(this.#options.startupDelayMs);
  }

  /** A transaction has changed something. */
  mutated(deleted: boolean): void {
    this.#dirty ||= deleted;
    this.#mutations += 1;
    if (this.#dirty) this.#deletions += 1;
    this.#decide();
  }

  /** Something has expired. */
  expired(): void {
    this.#deletions += 1;
    this.#decide();
  }

  /** Collects as soon as may be; resolves with the end of a collection that begins after this call. */
  async trigger(): Promise<void> {
    if (this.#stopped) throw new Error('the garbage collector has stopped');
    const waiting = Promise.withResolvers<void>();
    this.#waiting.push(waiting);
    this.#triggered = true;
    this.#decide();
    await waiting.promise;
  }

  /** Collects what a coming round would, and resolves when nothing is left to do. */
  async idle(): Promise<void> {
    while (this.#running !== undefined || this.#isDue()) {
      this.#clear();
      await (this.#running ?? this.#round());
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#clear();
    await this.#running;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(new Error('the garbage collector has stopped'));
  }

  #isDue(): boolean {
    const { mutationThreshold } = this.#options;
    const changed = mutationThreshold > 0 && this.#mutations >= mutationThreshold;
    return !this.#stopped && (this.#triggered || this.#deletions > 0 || changed);
  }

  #decide(): void {
    if (this.#running !== undefined || !this.#isDue()) return;
    const { deletionThreshold, scheduleDelayMs } = this.#options;
    const now = performance.now();
    if (
      this.#triggered ||
      (deletionThreshold > 0 && this.#deletions >= deletionThreshold) ||
      this.#next === undefined
    ) {
      return this.#plan(scheduleDelayMs);
    }
    // Rounds that nobody needed have passed silently.
    if (this.#next < now) this.#next += Math.ceil((now - this.#next) / this.#interval) * this.#interval;
    this.#plan(this.#next - now);
  }

  /** An earlier plan stands. */
  #plan(delay: number): void {
    const at = performance.now() + delay;
    if (this.#stopped || this.#timerAt <= at) return;
    this.#clear();
    this.#timerAt = at;
    this.#timer = setTimeout(() => {
      this.#clear();
      void this.#round();
    }, delay);
    this.#timer.unref();
  }

  #clear(): void {
    clearTimeout(this.#timer);
    this.#timerAt = Infinity;
  }

  #round(): Promise<void> {
    this.#running ??= this.#once().finally(() => {
      this.#running = undefined;
      this.#decide();
    });
    return this.#running;
  }

  async #once(): Promise<void> {
    const waiting = this.#waiting.splice(0);
    this.#triggered = false;
    this.#dirty = false;
    this.#deletions = 0;
    this.#mutations = 0;
    try {
      const { tookMs, again } = await this.#collect();
      if (again) this.#deletions += 1;
      this.#tookSum += tookMs;
      this.#collections += 1;
      const { pauseThreshold } = this.#options;
      const average = Math.max(this.#tookSum / this.#collections, SHORTEST_PAUSE_MS);
      if (pauseThreshold > 0) this.#interval = average / pauseThreshold - average;
      this.#next = performance.now() + this.#interval;
      for (const one of waiting) one.resolve();
    } catch (error) {
      if (!this.#stopped) this.#logger.log('warn', 'collecting garbage failed', { error: messageOf(error) });
      this.#deletions += 1;
      this.#next = performance.now() + this.#interval + 1000;
      for (const one of waiting) one.reject(error);
    }
  }
}
