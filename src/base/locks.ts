/** Mutual exclusion by key, first come first served. A key that nobody holds costs nothing. */
export class Locks {
  readonly #tails = new Map<string, Promise<void>>();

  /** Waits for the key; release it with `using` or `[Symbol.dispose]()`. Rejects when `signal` ends the wait. */
  async hold(key: string, signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    const before = this.#tails.get(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    const tail = before === undefined ? promise : before.then(() => promise);
    this.#tails.set(key, tail);
    const release = (): void => {
      resolve();
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    };
    if (before !== undefined) {
      try {
        await abortable(before, signal);
      } catch (error) {
        release();
        throw error;
      }
    }
    return { [Symbol.dispose]: release };
  }
}

/** `promise`, or the reason of `signal` if that comes first. The promise itself goes on. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
