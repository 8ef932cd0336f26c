import { checkIdentifier } from '#base/identifiers.ts';
import { HakoError, invalid } from '#base/errors.ts';
import { labelField, parseFilters } from '#base/filters.ts';
import { silent, type Logger } from '#base/log.ts';
import type { Event, EventPayload } from '#core/events.ts';

export interface EventsParts {
  readonly logger?: Logger;
}

/** Events a subscriber may be behind before it is cut off. */
const MAX_BEHIND = 10_000;

/** Tells everyone what happened. Publishing never waits for a subscriber: one too slow (10,000 behind) is cut off. */
export class Events {
  readonly #logger: Logger;
  readonly #subscribers = new Set<Subscriber>();

  constructor(parts: EventsParts = {}) {
    this.#logger = parts.logger ?? silent;
  }

  publish(namespace: string, topic: string, payload: EventPayload): void {
    this.forward({ timestamp: new Date(), namespace, topic, payload });
  }

  /** Hands on an event that someone else stamped. */
  forward(event: Event): void {
    checkIdentifier(event.namespace, 'event envelope has invalid namespace');
    checkTopic(event.topic);
    this.#logger.log('trace', 'event', { namespace: event.namespace, topic: event.topic });
    for (const subscriber of this.#subscribers) subscriber.offer(event);
  }

  /** What happens from this call on (it subscribes at once, before the first `next`). Ends with the signal. */
  subscribe(filters: readonly string[], signal: AbortSignal): AsyncIterable<Event> {
    const match = parseFilters(filters);
    const subscriber = new Subscriber(
      (event) => match((path) => eventField(event, path)),
      () => {
        this.#subscribers.delete(subscriber);
        signal.removeEventListener('abort', onAbort);
      },
    );
    const onAbort = (): void => subscriber.end();
    this.#subscribers.add(subscriber);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) subscriber.end();
    return subscriber;
  }
}

/** One listener's queue. It hands out one iterator, which is itself. */
class Subscriber implements AsyncIterableIterator<Event> {
  readonly #wants: (event: Event) => boolean;
  readonly #leave: () => void;
  #queue: Event[] = [];
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
    if (this.#queue.length >= MAX_BEHIND) {
      this.#queue = [];
      this.#error = new HakoError(
        'resource-exhausted',
        `the subscriber is ${MAX_BEHIND} events behind and was cut off: read faster, or use narrower filters`,
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
    const event = this.#queue.shift();
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
    this.end();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

function checkTopic(topic: string): void {
  const before = `envelope topic ${JSON.stringify(topic)}`;
  if (topic === '') throw invalid(`${before}: must not be empty: invalid argument`);
  if (!topic.startsWith('/')) throw invalid(`${before}: must start with '/': invalid argument`);
  if (topic === '/') throw invalid(`${before}: must have at least one component: invalid argument`);
  for (const component of topic.slice(1).split('/')) {
    checkIdentifier(component, `${before}: failed validation on component ${JSON.stringify(component)}`);
  }
}

/** What a filter sees of an event: `namespace`, `topic`, and the fields of the message under `event`. */
function eventField(event: Event, path: readonly string[]): string | undefined {
  const [first, ...rest] = path;
  if (first === 'namespace') return event.namespace;
  if (first === 'topic') return event.topic;
  if (first !== 'event' || event.payload.kind !== 'plain') return undefined;
  return plainField(event.payload.fields, rest);
}

function plainField(fields: Readonly<Record<string, unknown>>, path: readonly string[]): string | undefined {
  const [first, ...rest] = path;
  if (first === undefined) return undefined;
  // Filters are written with the names of the proto (`container_id`), fields are kept under their JSON names.
  const value = fields[first.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())];
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value !== 'object' || value === null) return undefined;
  if (first === 'labels') return labelField(value as Record<string, string>, rest);
  return plainField(value as Record<string, unknown>, rest);
}
