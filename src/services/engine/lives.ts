/** What happens to a container that somebody may wait for. */
export type LifeEvent =
  /** Its task is there, not started yet: whoever wants its output from the first byte opens it now. */
  | { readonly kind: 'created' }
  | { readonly kind: 'started' }
  /** It could not be started. */
  | { readonly kind: 'failed'; readonly error: string; readonly exitCode: number }
  | { readonly kind: 'removed' };

/** A listener may give a promise; `tell` waits for it. */
export type LifeListener = (event: LifeEvent) => void | Promise<void>;

/** Tells those who wait for a container what becomes of it. Keys are `namespace/id`. */
export class Lives {
  readonly #listeners = new Map<string, Set<LifeListener>>();

  listen(key: string, listener: LifeListener): Disposable {
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners);
    listeners.add(listener);
    return {
      [Symbol.dispose]: () => {
        listeners.delete(listener);
        if (listeners.size === 0 && this.#listeners.get(key) === listeners) this.#listeners.delete(key);
      },
    };
  }

  /** Resolves when every listener has done what it had to; one that fails stops nobody. */
  async tell(key: string, event: LifeEvent): Promise<void> {
    const listeners = [...(this.#listeners.get(key) ?? [])];
    await Promise.allSettled(listeners.map(async (listener) => listener(event)));
  }
}
