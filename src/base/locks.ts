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

/** Lets many pass at once, or one alone, in the order in which they came. */
export class Gate {
  /** Ends with everybody who went alone so far. */
  #alone: Promise<void> = Promise.resolve();
  #passing: Promise<void>[] = [];

  /** Goes together with others that pass. */
  async pass(signal: AbortSignal): Promise<Disposable> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const before = this.#alone;
    this.#passing.push(promise);
    void promise.then(() => (this.#passing = this.#passing.filter((one) => one !== promise)));
    return enter(before, resolve, signal);
  }

  /** Waits for everybody who came before, and lets nobody else in. */
  async passAlone(signal: AbortSignal): Promise<Disposable> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const before = Promise.all([this.#alone, ...this.#passing]).then(() => {});
    this.#passing = [];
    this.#alone = before.then(() => promise);
    return enter(before, resolve, signal);
  }
}

async function enter(before: Promise<void>, release: () => void, signal: AbortSignal): Promise<Disposable> {
  try {
    await abortable(before, signal);
  } catch (error) {
    release();
    throw error;
  }
  return { [Symbol.dispose]: release };
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
