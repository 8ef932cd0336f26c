import { parentPort, Worker } from 'node:worker_threads';
import { HakoError, codeOf, errorCodes, messageOf, type ErrorCode } from './errors.ts';

/** What travels to the thread and back. `stop` becomes 1 when the caller no longer wants the answer. */
interface Question {
  readonly id: number;
  readonly request: unknown;
  readonly stop: SharedArrayBuffer;
}

type Answer =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | {
      readonly id: number;
      readonly ok: false;
      readonly code: ErrorCode;
      readonly message: string;
      readonly errno?: string;
    };

/** An error that crossed over from a thread. `errno` is the system call's, where one failed. */
export class ThreadError extends HakoError {
  readonly errno: string | undefined;

  constructor(code: ErrorCode, message: string, errno?: string) {
    super(code, message);
    this.errno = errno;
  }
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export interface ThreadOptions {
  /** Megabytes of JavaScript heap; a thread that needs more dies, and its callers are told. */
  readonly heap?: number;
  /** How long an aborted request may take to stop before the whole thread is ended, in milliseconds. */
  readonly patience?: number;
}

/**
 * A worker thread that answers requests. Its death, whatever the cause, rejects all that wait for it. It keeps the
 * process alive only while someone waits.
 */
export class Thread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #patience: number;
  #last = 0;
  #dead: HakoError | undefined;

  constructor(script: URL, options: ThreadOptions = {}) {
    this.#patience = options.patience ?? 10_000;
    this.#worker = new Worker(script, {
      resourceLimits: { maxOldGenerationSizeMb: options.heap ?? 256, maxYoungGenerationSizeMb: 8 },
    });
    this.#worker.unref();
    this.#worker.on('message', (answer: Answer) => this.#answered(answer));
    this.#worker.on('error', (error) => this.#died(`worker thread failed: ${messageOf(error)}`, error));
    this.#worker.on('exit', () => this.#died('worker thread ended before it answered'));
  }

  get dead(): boolean {
    return this.#dead !== undefined;
  }

  /** How many requests wait for an answer. */
  get load(): number {
    return this.#waiting.size;
  }

  /**
   * Asks. When `signal` ends, the thread is told to stop and this rejects with the signal's reason once it has: what
   * the thread was doing on disk is over then.
   */
  async run(request: unknown, signal?: AbortSignal): Promise<unknown> {
    signal?.throwIfAborted();
    if (this.#dead !== undefined) throw this.#dead;
    const id = ++this.#last;
    const stop = new SharedArrayBuffer(4);
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#worker.ref();
    let timer: NodeJS.Timeout | undefined;
    const onAbort = (): void => {
      Atomics.store(new Int32Array(stop), 0, 1);
      timer = setTimeout(() => this.end(), this.#patience);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      this.#worker.postMessage({ id, request, stop } satisfies Question);
      return await answer;
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      this.#waiting.delete(id);
      if (this.#waiting.size === 0) this.#worker.unref();
    }
  }

  /** Ends the thread at once, wherever it is. */
  end(): void {
    void this.#worker.terminate();
  }

  #answered(answer: Answer): void {
    const waiting = this.#waiting.get(answer.id);
    if (answer.ok) waiting?.resolve(answer.value);
    else waiting?.reject(new ThreadError(answer.code, answer.message, answer.errno));
  }

  #died(why: string, cause?: unknown): void {
    this.#dead ??= new HakoError('internal', why, cause);
    for (const waiting of this.#waiting.values()) waiting.reject(this.#dead);
  }
}

/** A few equal threads, one request each at a time, first come first served. Idle ones end after a while. */
export class ThreadPool {
  readonly #script: URL;
  readonly #size: number;
  readonly #options: ThreadOptions;
  readonly #idle: { thread: Thread; timer: NodeJS.Timeout }[] = [];
  readonly #queue: (() => void)[] = [];
  #busy = 0;

  constructor(script: URL, size: number, options: ThreadOptions = {}) {
    this.#script = script;
    this.#size = size;
    this.#options = options;
  }

  async run(request: unknown, signal: AbortSignal): Promise<unknown> {
    await this.#turn(signal);
    const thread = this.#take();
    try {
      return await thread.run(request, signal);
    } finally {
      if (!thread.dead) this.#rest(thread);
      this.#busy -= 1;
      this.#queue.shift()?.();
    }
  }

  /** Ends the threads that rest. */
  end(): void {
    for (const { thread, timer } of this.#idle.splice(0)) {
      clearTimeout(timer);
      thread.end();
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#busy < this.#size) {
      this.#busy += 1;
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const enter = (): void => {
      this.#busy += 1;
      resolve();
    };
    const leave = (): void => {
      const place = this.#queue.indexOf(enter);
      if (place >= 0) this.#queue.splice(place, 1);
      if (place >= 0) reject(signal.reason);
    };
    this.#queue.push(enter);
    signal.addEventListener('abort', leave, { once: true });
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  #take(): Thread {
    for (;;) {
      const rested = this.#idle.pop();
      if (rested === undefined) return new Thread(this.#script, this.#options);
      clearTimeout(rested.timer);
      if (!rested.thread.dead) return rested.thread;
    }
  }

  #rest(thread: Thread): void {
    const entry = {
      thread,
      timer: setTimeout(() => {
        this.#idle.splice(this.#idle.indexOf(entry), 1);
        thread.end();
      }, 60_000).unref(),
    };
    this.#idle.push(entry);
  }
}

/** Thrown inside a thread when its caller has gone. */
export const stopped = (): HakoError => new HakoError('cancelled', 'stopped by the caller');

/**
 * The other end, called once by a thread's script. `handle` answers a request; it calls `check` often, which throws
 * when the caller has gone.
 */
export function serveThread(handle: (request: never, check: () => void) => unknown): void {
  const port = parentPort;
  if (port === null) throw new HakoError('internal', 'serveThread() is for worker threads');
  const answer = async ({ id, request, stop }: Question): Promise<void> => {
    const flag = new Int32Array(stop);
    const check = (): void => {
      if (Atomics.load(flag, 0) !== 0) throw stopped();
    };
    try {
      const value = await handle(request as never, check);
      port.postMessage({ id, ok: true, value } satisfies Answer);
    } catch (error) {
      const errno = errnoOf(error);
      port.postMessage({
        id,
        ok: false,
        code: codeOf(error),
        message: messageOf(error),
        ...(errno === undefined ? {} : { errno }),
      } satisfies Answer);
    }
  };
  port.on('message', (question: Question) => void answer(question));
}

/** The name of the system error in a thrown value (`ENOSPC`), wherever it came from. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { errno, code } = error as Error & { errno?: unknown; code?: unknown };
  if (typeof errno === 'string') return errno;
  if (typeof code === 'string' && !(errorCodes as readonly string[]).includes(code) && /^E[A-Z0-9]+$/.test(code))
    return code;
  return error.cause === undefined ? undefined : errnoOf(error.cause);
}
