import { Worker } from 'node:worker_threads';
import { HakoError } from '#base/errors.ts';

/** What the worker is asked for; it answers each request with the same `id`. */
export interface SyncRequest {
  readonly id: number;
  readonly kind: 'sync' | 'checkpoint';
}
export interface SyncAnswer {
  readonly id: number;
  readonly error?: string;
}

/**
 * After so many transactions the log is written back into the database file. The file's size would not tell: SQLite goes
 * back to its beginning after a checkpoint and never shortens it. A transaction of ours is a few pages of 4 KiB.
 */
const CHECKPOINT_WRITES = 500;

/**
 * Makes commits survive a power cut without stopping the event loop: one worker syncs the write-ahead log for all who
 * wait, and writes it back when it has grown. With `synchronous=NORMAL` SQLite itself syncs at checkpoints alone.
 */
export class Durability {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  #running: Promise<void> | undefined;
  /** What was committed when the sync under way was asked for. */
  #covered = 0;
  #next: Promise<void> | undefined;
  #checkpointing = false;
  #checkpointed = 0;
  #lastId = 0;
  #failure: HakoError | undefined;

  constructor(path: string) {
    this.#worker = new Worker(new URL('./sync-worker.ts', import.meta.url), {
      workerData: path,
      name: 'ledger-sync',
      // The daemon's own flags (test runner, inspector) are not the worker's.
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 },
    });
    this.#worker.on('message', (answer: SyncAnswer) => this.#answered(answer));
    this.#worker.on('error', (error) => this.#failed(error instanceof Error ? error : new Error(String(error))));
    this.#worker.on('exit', () => this.#failed(new Error('the sync worker has ended')));
    this.#worker.unref();
  }

  /**
   * Resolves when everything committed before this call is on disk. A sync that is already under way may have begun
   * before that commit, so whoever has committed since shares the one after it. `writes` counts all transactions so far.
   */
  sync(writes: number): Promise<void> {
    if (this.#running === undefined) {
      this.#checkpoint(writes);
      this.#covered = writes;
      this.#running = this.#ask('sync').finally(() => {
        this.#running = undefined;
      });
      return this.#running;
    }
    if (writes <= this.#covered) return this.#running;
    this.#next ??= this.#running
      .catch(() => {}) // Its own callers were told; those after it get an answer of their own.
      .then(() => {
        this.#next = undefined;
        return this.sync(writes);
      });
    return this.#next;
  }

  async close(): Promise<void> {
    this.#worker.removeAllListeners('exit');
    this.#failed(new Error('the ledger was closed'));
    await this.#worker.terminate();
  }

  #ask(kind: SyncRequest['kind']): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = (this.#lastId += 1);
    const waiting = Promise.withResolvers<void>();
    this.#waiting.set(id, waiting);
    this.#worker.ref();
    this.#worker.postMessage({ id, kind } satisfies SyncRequest);
    return waiting.promise;
  }

  #answered(answer: SyncAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (answer.error === undefined) waiting?.resolve();
    else waiting?.reject(new HakoError('data-loss', `the ledger could not be synced: ${answer.error}`));
  }

  #checkpoint(writes: number): void {
    if (writes - this.#checkpointed < CHECKPOINT_WRITES || this.#checkpointing || this.#failure !== undefined) return;
    this.#checkpointing = true;
    this.#ask('checkpoint')
      .then(
        () => (this.#checkpointed = writes),
        () => {}, // The next sync asks again; until then the log only grows.
      )
      .finally(() => {
        this.#checkpointing = false;
      });
  }

  #failed(error: Error): void {
    this.#failure ??= new HakoError('unavailable', `the ledger cannot be synced: ${error.message}`, error);
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure);
    this.#waiting.clear();
  }
}
