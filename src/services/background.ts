import { messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';

/** Work that nobody waits for. Its errors are logged, and `idle` tells when there is none. */
export class Background {
  readonly #logger: Logger;
  readonly #running = new Set<Promise<void>>();
  readonly #stop = new AbortController();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Ends with `stop`. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** `what` completes the sentence "… failed". */
  start(what: string, work: (signal: AbortSignal) => Promise<void>): void {
    const promise = work(this.#stop.signal)
      .catch((error: unknown) => {
        if (!this.#stop.signal.aborted) this.#logger.log('warn', `${what} failed`, { error: messageOf(error) });
      })
      .finally(() => this.#running.delete(promise));
    this.#running.add(promise);
  }

  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** Tells everything that runs to end, and waits for it. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.idle();
  }
}
