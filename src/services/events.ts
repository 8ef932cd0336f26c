import { checkIdentifier } from '#base/identifiers.ts';
import { invalid, messageOf } from '#base/errors.ts';
import { silent, type Logger } from '#base/log.ts';
import { now } from '#base/moment.ts';
import type { Event, EventCodec, EventPayload } from '#core/events.ts';
import type { Ledger } from '#metadata/ledger.ts';
import { eventFilter } from './event-filter.ts';
import type { Journal } from './journal.ts';
import { Subscriber } from './subscriber.ts';

export interface EventsParts {
  /** Without one, filters see nothing of the messages. */
  readonly codec?: EventCodec;
  /** Without one, no transaction is waited for. */
  readonly ledger?: Pick<Ledger, 'inTransaction' | 'afterCommit' | 'durable' | 'transaction'>;
  /** Keeps every event before anyone is told. */
  readonly journal?: Pick<Journal, 'append'>;
  readonly logger?: Logger;
}

/** Go's zero time, the start of the year 1: clients send it for a time that is not set. */
const ZERO_TIME = -62_135_596_800_000;

/**
 * Tells everyone what happened, in the order in which it did. An event that is published in a transaction is told when
 * that is safe on disk, and never when it was rolled back. Publishing never waits for a subscriber: one that is too slow
 * is cut off.
 */
export class Events {
  readonly #parts: EventsParts;
  readonly #logger: Logger;
  readonly #subscribers = new Set<Subscriber>();
  /** Events that wait until what they tell of is safe on disk, and those behind them. */
  readonly #outbox: { readonly event: Event; safe: boolean }[] = [];
  /** Events of this turn of the event loop that no transaction brings: they are written down together. */
  #unkept: Event[] = [];
  #keeping: PromiseWithResolvers<void> | undefined;

  constructor(parts: EventsParts = {}) {
    this.#parts = parts;
    this.#logger = parts.logger ?? silent;
  }

  /**
   * In the transaction of what it tells of, if that is possible: then a kill cannot come between the two. `sync: false`
   * tells it as soon as that is committed, for what promises nothing over a power cut.
   */
  publish(namespace: string, topic: string, payload: EventPayload, options: { sync?: boolean } = {}): void {
    this.forward({ timestamp: now(), namespace, topic, payload }, options);
  }

  /** Hands on an event that someone else stamped. */
  forward(event: Event, options: { sync?: boolean } = {}): void {
    checkIdentifier(event.namespace, 'event envelope has invalid namespace');
    checkTopic(event.topic);
    if (!(event.timestamp.getTime() > ZERO_TIME)) {
      throw invalid('timestamp must be set on forwarded event: invalid argument');
    }
    const { ledger, journal } = this.#parts;
    if (ledger?.inTransaction === true) {
      // A transaction that cannot be written down as a whole has to fail.
      journal?.append(event);
      // The one who committed waits for the same sync.
      ledger.afterCommit(() => this.#post(event, options.sync === false ? undefined : ledger.durable()));
      return;
    }
    if (journal === undefined) return this.#post(event, undefined);
    this.#unkept.push(event);
    if (this.#keeping !== undefined) return;
    this.#keeping = Promise.withResolvers();
    setImmediate(() => this.flush());
  }

  /** Resolves when whatever was published up to now is written down, and told unless it waits for a sync. */
  async kept(): Promise<void> {
    await this.#keeping?.promise;
  }

  /** Writes down and tells what waits for the end of this turn of the event loop. */
  flush(): void {
    const events = this.#unkept;
    const keeping = this.#keeping;
    this.#unkept = [];
    this.#keeping = undefined;
    const { ledger, journal } = this.#parts;
    try {
      ledger?.transaction(() => events.forEach((event) => journal?.append(event)));
    } catch (error) {
      // They have happened all the same.
      this.#logger.log('error', 'events are missing in the journal', {
        events: events.length,
        error: messageOf(error),
      });
    }
    for (const event of events) this.#post(event, undefined);
    keeping?.resolve();
  }

  /** What happens from this call on (it subscribes at once, before the first `next`). Ends with the signal. */
  subscribe(filters: readonly string[], signal: AbortSignal): AsyncIterable<Event> {
    const subscriber = new Subscriber(eventFilter(filters, this.#parts.codec), () => {
      this.#subscribers.delete(subscriber);
      signal.removeEventListener('abort', onAbort);
    });
    const onAbort = (): void => subscriber.end();
    this.#subscribers.add(subscriber);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) subscriber.end();
    return subscriber;
  }

  #post(event: Event, safe: Promise<void> | undefined): void {
    this.#logger.log('trace', 'event', { namespace: event.namespace, topic: event.topic });
    if (safe === undefined && this.#outbox.length === 0) {
      this.#tell(event);
      return;
    }
    const letter = { event, safe: safe === undefined };
    this.#outbox.push(letter);
    const send = (): void => {
      letter.safe = true;
      while (this.#outbox[0]?.safe === true) this.#tell((this.#outbox.shift() as { event: Event }).event);
    };
    // Whoever committed is told of a sync that failed; the event happened all the same.
    if (safe !== undefined) void safe.then(send, send);
  }

  #tell(event: Event): void {
    for (const subscriber of this.#subscribers) subscriber.offer(event);
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
