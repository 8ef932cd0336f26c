import { abortable } from '#base/locks.ts';
import { HakoError } from '#base/errors.ts';
import { microsecondsOf, now } from '#base/moment.ts';
import { Thread } from '#base/threads.ts';
import type { BlobWriter, IngestId } from '#core/content.ts';
import type { Digest } from '#core/images.ts';
import { explainSpace } from '#sys/space.ts';

/** What the thread of ingest-worker.ts does. `buffer` is the caller's again when the append is answered. */
export type IngestRequest =
  | { readonly do: 'open'; readonly id: string; readonly directory: string }
  | { readonly do: 'append'; readonly id: string; readonly buffer: SharedArrayBuffer; readonly length: number }
  | { readonly do: 'truncate'; readonly id: string; readonly size: number }
  | { readonly do: 'digest'; readonly id: string }
  /** `movedAt`: when bytes came last, in microseconds; what the file says then is when they reached the disk. */
  | { readonly do: 'close'; readonly id: string; readonly movedAt?: number }
  | {
      readonly do: 'commit';
      readonly id: string;
      readonly blobs: string;
      readonly size?: number;
      readonly digest?: string;
    };

export interface Opened {
  readonly offset: number;
}

const chunkSize = 256 * 1024;
/** How many chunks of one upload may wait for the disk before its writer has to. */
const maxInFlight = 4;
const maxSpare = 32;

/** The threads that write and hash, and the buffers that travel to them. */
export class IngestThreads {
  readonly #threads: (Thread | undefined)[] = [];
  readonly #spare: SharedArrayBuffer[] = [];
  readonly #size: number;
  #next = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** A thread for one upload, which stays with it: the state of its hash lives there. */
  pick(): Thread {
    const place = this.#next++ % this.#size;
    let thread = this.#threads[place];
    if (thread === undefined || thread.dead) {
      thread = new Thread(new URL('ingest-worker.ts', import.meta.url));
      this.#threads[place] = thread;
    }
    return thread;
  }

  take(): SharedArrayBuffer {
    return this.#spare.pop() ?? new SharedArrayBuffer(chunkSize);
  }

  give(buffer: SharedArrayBuffer): void {
    if (this.#spare.length < maxSpare) this.#spare.push(buffer);
  }

  end(): void {
    for (const thread of this.#threads.splice(0)) thread?.end();
  }
}

/** One upload. Small writes gather in a chunk; a blob smaller than that costs the thread two messages. */
export class IngestWriter implements BlobWriter {
  readonly #threads: IngestThreads;
  readonly #thread: Thread;
  readonly #id: IngestId;
  readonly #blobs: string;
  readonly #onClose: () => void;
  readonly #inFlight = new Set<Promise<void>>();
  readonly #asked = new Set<Promise<unknown>>();
  #offset: number;
  #chunk: SharedArrayBuffer | undefined;
  #filled = 0;
  #failure: Error | undefined;
  #closed: string | undefined;
  #movedAt: number | undefined;

  constructor(
    threads: IngestThreads,
    thread: Thread,
    id: IngestId,
    blobs: string,
    offset: number,
    onClose: () => void,
  ) {
    this.#threads = threads;
    this.#thread = thread;
    this.#id = id;
    this.#blobs = blobs;
    this.#offset = offset;
    this.#onClose = onClose;
  }

  get offset(): number {
    return this.#offset;
  }

  async write(data: Uint8Array, signal: AbortSignal): Promise<void> {
    this.#movedAt = microsecondsOf(now());
    for (let done = 0; done < data.length;) {
      this.#usable();
      while (this.#inFlight.size >= maxInFlight) {
        await abortable(Promise.race(this.#inFlight), signal);
        this.#usable();
      }
      signal.throwIfAborted();
      this.#chunk ??= this.#threads.take();
      const length = Math.min(data.length - done, chunkSize - this.#filled);
      new Uint8Array(this.#chunk, this.#filled, length).set(data.subarray(done, done + length));
      this.#filled += length;
      this.#offset += length;
      done += length;
      if (this.#filled === chunkSize) this.#flush();
    }
  }

  async truncate(size: number, signal: AbortSignal): Promise<void> {
    if (this.#closed !== undefined) this.#usable();
    if (!Number.isSafeInteger(size) || size < 0)
      throw new HakoError('invalid-argument', `ingest "${this.#id}": cannot truncate to ${size}`);
    this.#flush();
    await this.#settled();
    this.#movedAt = microsecondsOf(now());
    await this.#ask({ do: 'truncate', id: this.#id, size }, signal);
    this.#offset = size;
    this.#failure = undefined;
  }

  async digest(signal: AbortSignal): Promise<Digest> {
    this.#usable();
    this.#flush();
    const digest = (await this.#ask({ do: 'digest', id: this.#id }, signal)) as Digest;
    this.#usable();
    return digest;
  }

  async commit(expected: { size?: number; digest?: Digest }, signal: AbortSignal): Promise<Digest> {
    this.#usable();
    this.#flush();
    const digest = (await this.#ask({ do: 'commit', id: this.#id, blobs: this.#blobs, ...expected }, signal)) as Digest;
    this.#done('is committed');
    return digest;
  }

  /** Safe to call at any time, and more than once. */
  async close(): Promise<void> {
    if (this.#closed !== undefined) return;
    if (this.#failure === undefined) this.#flush();
    await this.#drop('is closed');
  }

  /** Lets go without caring for what is still on its way. */
  async drop(why: string): Promise<void> {
    if (this.#closed !== undefined) return;
    await this.#drop(why);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #drop(why: string): Promise<void> {
    await this.#settled();
    if (this.#closed !== undefined) return;
    this.#closed = why;
    try {
      const moved = this.#movedAt !== undefined && { movedAt: this.#movedAt };
      if (!this.#thread.dead) await this.#thread.run({ do: 'close', id: this.#id, ...moved } satisfies IngestRequest);
    } finally {
      this.#done(why);
    }
  }

  #done(why: string): void {
    this.#closed = why;
    if (this.#chunk !== undefined) this.#threads.give(this.#chunk);
    this.#chunk = undefined;
    this.#filled = 0;
    this.#onClose();
  }

  #usable(): void {
    if (this.#closed !== undefined) throw new HakoError('failed-precondition', `ingest "${this.#id}" ${this.#closed}`);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Hands the chunk to the thread. Nobody waits here: `#inFlight` does, and a failure is told at the next call. */
  #flush(): void {
    const buffer = this.#chunk;
    if (buffer === undefined || this.#filled === 0) return;
    const length = this.#filled;
    this.#chunk = undefined;
    this.#filled = 0;
    const sent = (async () => {
      try {
        await this.#thread.run({ do: 'append', id: this.#id, buffer, length } satisfies IngestRequest);
        this.#threads.give(buffer);
      } catch (error) {
        this.#failure ??= this.#explain(error);
      }
    })().finally(() => this.#inFlight.delete(sent));
    this.#inFlight.add(sent);
  }

  /** Everything the thread was asked is answered: `return writer.commit(…)` under `await using` closes while it commits. */
  async #settled(): Promise<void> {
    await Promise.allSettled([...this.#inFlight, ...this.#asked]);
  }

  async #ask(request: IngestRequest, signal: AbortSignal): Promise<unknown> {
    const answer = this.#thread.run(request, signal);
    this.#asked.add(answer);
    try {
      return await answer;
    } catch (error) {
      throw signal.aborted ? error : this.#explain(error);
    } finally {
      this.#asked.delete(answer);
    }
  }

  #explain(error: unknown): Error {
    const explained = explainSpace(error, this.#blobs, `writing ingest "${this.#id}"`);
    return explained instanceof Error ? explained : new Error(String(explained));
  }
}
