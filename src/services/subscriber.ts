import { HakoError } from '#base/errors.ts';
import type { Event } from '#core/events.ts';

/** Events a subscriber may be behind before it is cut off. */
const MAX_BEHIND = 50_000;

/** One listener's queue. It hands out one iterator, which is itself. */
export class Subscriber implements AsyncIterableIterator<Event> {
  readonly #wants: (event: Event) => boolean;
  readonly #leave: () => void;
  #queue: Event[] = [];
  #read = 0;
  #waiting: PromiseWithResolvers<IteratorResult<Event>> | undefined;
  #ended = false;
  #error: HakoError | undefined;

  constructor(wants: (event: Event) => boolean, leave: () => void) {
    this.#wants = wants;
    this.#leave = leave;
  }

  offer(event: Event): void {
    if (this.#ended || !this.#wants(event)) return;
    if (this.#waiting !== undefined) {
      this.#waiting.resolve({ value: event, done: false });
      this.#waiting = undefined;
      return;
    }
    if (this.#queue.length - this.#read >= MAX_BEHIND) {
      this.#queue = [];
      this.#read = 0;
      this.#error = new HakoError(
        'resource-exhausted',
        `the subscriber is ${MAX_BEHIND} events behind and was cut off: read faster, use narrower filters, or the journal`,
      );
      this.end();
      return;
    }
    this.#queue.push(event);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#leave();
    this.#waiting?.resolve({ value: undefined, done: true });
    this.#waiting = undefined;
  }

  async next(): Promise<IteratorResult<Event>> {
    const event = this.#take();
    if (event !== undefined) return { value: event, done: false };
    if (this.#error !== undefined) {
      const error = this.#error;
      this.#error = undefined;
      throw error;
    }
    if (this.#ended) return { value: undefined, done: true };
    this.#waiting ??= Promise.withResolvers();
    return this.#waiting.promise;
  }

  async return(): Promise<IteratorResult<Event>> {
    this.#queue = [];
    this.#read = 0;
    this.end();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Shifting a long array copies it each time; this one is emptied from the front and dropped when it is read. */
  #take(): Event | undefined {
    const event = this.#queue[this.#read];
    if (event === undefined) return undefined;
    this.#read += 1;
    if (this.#read === this.#queue.length || this.#read >= 1024) {
      this.#queue.splice(0, this.#read);
      this.#read = 0;
    }
    return event;
  }
}
