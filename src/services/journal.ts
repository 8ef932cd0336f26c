import { randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { HakoError, invalid, messageOf } from '#base/errors.ts';
import { abortable } from '#base/locks.ts';
import { silent, type Logger } from '#base/log.ts';
import type { Event, EventCodec } from '#core/events.ts';
import type { Ledger } from '#metadata/ledger.ts';
import type { JournalRow } from '#metadata/tables/journal.ts';
import { eventFilter } from './event-filter.ts';

export interface JournalParts {
  readonly ledger: Ledger;
  readonly codec: EventCodec;
  /** In milliseconds. */
  readonly maxAge: number;
  /** Of the rows' content; one entry more may be kept. 0 keeps nothing. */
  readonly maxBytes: number;
  /** Names this run of the machine: another one than before means that the power may have been cut. */
  readonly bootId: string;
  readonly logger?: Logger;
}

export interface JournalEntry {
  readonly cursor: string;
  readonly event: Event;
}

export interface JournalState {
  readonly oldest?: string;
  readonly newest?: string;
  readonly entries: number;
  readonly bytes: number;
  readonly oldestAt?: Date;
}

export interface ReadOptions {
  /** A cursor, `now`, or '' for all that is kept. */
  readonly since: string;
  readonly follow: boolean;
  readonly filters: readonly string[];
}

/** What a row weighs beside its texts and its payload, about. */
const ROW_BYTES = 48;
const PAGE_ROWS = 256;
const CUT_ROWS = 2_000;
/** How long after an event the journal is cut and synced: many events share one go. */
const SETTLE_MS = 1_000;
const IDLE_CUT_MS = 60_000;
/**
 * After a power cut the last rows may be gone although somebody was told their cursors. New rows are numbered far beyond
 * them, so that such a cursor means "everything new" rather than skipping what took the lost numbers.
 */
const POWER_CUT_GAP = 1_000_000;

/**
 * Keeps events in the ledger. An event that is published in a transaction is kept if, and only if, the transaction is
 * committed. Rows survive a kill; the last second of them may not survive a power cut, unless what they tell of was synced.
 */
export class Journal {
  readonly #parts: JournalParts;
  readonly #logger: Logger;
  readonly #id: string;
  readonly #idle: NodeJS.Timeout;
  readonly #ended = new AbortController();
  #seq: number;
  #upto: number;
  #news = Promise.withResolvers<void>();
  #settling: NodeJS.Timeout | undefined;
  #work: Promise<void> | undefined;

  constructor(parts: JournalParts) {
    this.#parts = parts;
    this.#logger = parts.logger ?? silent;
    const { settings, journal } = parts.ledger;
    this.#id = settings.get('journal/id') ?? randomBytes(6).toString('hex');
    settings.set('journal/id', this.#id);
    const newest = journal.newest();
    const sameBoot = settings.get('journal/boot') === parts.bootId;
    settings.set('journal/boot', parts.bootId);
    this.#seq = Math.max(newest?.seq ?? 0, journal.dropped()) + (sameBoot ? 0 : POWER_CUT_GAP);
    this.#upto = newest?.upto ?? 0;
    this.#idle = setInterval(() => this.#settleSoon(), IDLE_CUT_MS);
    this.#idle.unref();
  }

  /** Writes an event down, as part of the transaction that is under way if there is one. */
  append(event: Event): void {
    const { ledger, codec, maxBytes } = this.#parts;
    if (maxBytes === 0) return;
    const payload = codec.encode(event.payload);
    const { timestamp, nanos = 0, namespace, topic } = event;
    // A transaction that is rolled back leaves a gap, which means nothing.
    this.#seq += 1;
    this.#upto += ROW_BYTES + topic.length + namespace.length + payload.typeUrl.length + payload.value.length;
    const row = { seq: this.#seq, timestamp, nanos, namespace, topic, payload };
    ledger.journal.insert(row, { keptAt: new Date(), upto: this.#upto });
    ledger.afterCommit(() => {
      this.#news.resolve();
      this.#news = Promise.withResolvers();
      this.#settleSoon();
    });
  }

  /**
   * Entries after `since`, in order, each once. It checks the arguments at once: out-of-range when entries after the
   * cursor were cut away, failed-precondition when the cursor is of another ledger.
   */
  read(options: ReadOptions, signal: AbortSignal): AsyncIterable<JournalEntry> {
    const wanted = eventFilter(options.filters, this.#parts.codec);
    const from = this.#position(options.since);
    this.#checkKept(from, options.since);
    return this.#entries(from, wanted, options.follow, AbortSignal.any([signal, this.#ended.signal]));
  }

  state(): JournalState {
    const { journal } = this.#parts.ledger;
    const oldest = journal.oldest();
    const newest = journal.newest();
    if (oldest === undefined || newest === undefined) return { entries: 0, bytes: 0 };
    const first = journal.after(oldest.seq - 1, 1)[0];
    return {
      oldest: this.#cursor(oldest.seq),
      newest: this.#cursor(newest.seq),
      entries: journal.count(),
      bytes: newest.upto - oldest.upto + (first === undefined ? 0 : weightOf(first)),
      oldestAt: oldest.keptAt,
    };
  }

  /** Ends those who follow, and waits for what is being cut. */
  async close(): Promise<void> {
    clearInterval(this.#idle);
    clearTimeout(this.#settling);
    this.#ended.abort(new HakoError('unavailable', 'the daemon is shutting down'));
    await this.#work;
  }

  /** Cuts away what is too old or too much, a piece at a time. */
  async cut(): Promise<void> {
    const { ledger, maxAge, maxBytes } = this.#parts;
    for (;;) {
      if (this.#ended.signal.aborted) return;
      const bounds = { upto: this.#upto - maxBytes, keptBefore: new Date(Date.now() - maxAge) };
      if (ledger.journal.cut(bounds, CUT_ROWS) < CUT_ROWS) return;
      await turn();
    }
  }

  async *#entries(
    from: number,
    wanted: (event: Event) => boolean,
    follow: boolean,
    signal: AbortSignal,
  ): AsyncGenerator<JournalEntry> {
    let at = from;
    // What is published from now on is for those who follow.
    const last = follow ? Number.MAX_SAFE_INTEGER : this.#seq;
    while (!signal.aborted && at < last) {
      const news = this.#news.promise;
      // A reader who stays behind for long may find that what it wants next is gone.
      this.#checkKept(at, this.#cursor(at));
      const rows = this.#parts.ledger.journal.after(at, PAGE_ROWS);
      for (const row of rows) {
        if (row.seq > last) return;
        at = row.seq;
        const event = toEvent(row);
        if (wanted(event)) yield { cursor: this.#cursor(row.seq), event };
        if (signal.aborted) return;
      }
      if (rows.length === PAGE_ROWS) await turn();
      else if (!follow) return;
      else await abortable(news, signal).catch(() => undefined);
    }
  }

  #cursor(seq: number): string {
    return `${this.#id}-${seq.toString(36)}`;
  }

  /** The last row that the reader has. */
  #position(since: string): number {
    if (since === '') return this.#parts.ledger.journal.dropped();
    if (since === 'now') return this.#seq;
    const match = /^([0-9a-f]{12})-([0-9a-z]{1,10})$/.exec(since);
    if (match === null) {
      throw invalid(`cursor ${JSON.stringify(since)}: is none: give one that came with an event, "now", or nothing`);
    }
    const [, id, digits = ''] = match;
    if (id !== this.#id) {
      throw new HakoError(
        'failed-precondition',
        `cursor "${since}": is of another daemon's journal, or of one whose root directory was made anew: ` +
          `this journal's cursors begin with ${this.#id}; read without a cursor`,
      );
    }
    const seq = Number.parseInt(digits, 36);
    if (seq > this.#seq) {
      throw new HakoError(
        'out-of-range',
        `cursor "${since}": lies after the newest entry "${this.#cursor(this.#seq)}": was an older ledger put back?`,
      );
    }
    return seq;
  }

  #checkKept(at: number, since: string): void {
    const { journal } = this.#parts.ledger;
    if (at >= journal.dropped()) return;
    const oldest = journal.oldest();
    const kept = oldest === undefined ? 'nothing is kept' : `the oldest that is kept is "${this.#cursor(oldest.seq)}"`;
    throw new HakoError(
      'out-of-range',
      `cursor "${since}": entries after it were dropped already: ${kept}; read without a cursor to begin there`,
    );
  }

  #settleSoon(): void {
    if (this.#settling !== undefined || this.#ended.signal.aborted) return;
    this.#settling = setTimeout(() => {
      this.#work = this.#settle().finally(() => (this.#settling = undefined));
    }, SETTLE_MS);
    this.#settling.unref();
  }

  async #settle(): Promise<void> {
    try {
      await this.cut();
      await this.#parts.ledger.durable();
    } catch (error) {
      if (this.#ended.signal.aborted) return;
      this.#logger.log('warn', 'the event journal could not be cut', { error: messageOf(error) });
    }
  }
}

const weightOf = ({ topic, namespace, payload }: JournalRow): number =>
  ROW_BYTES + topic.length + namespace.length + payload.typeUrl.length + payload.value.length;

const toEvent = ({ timestamp, nanos, namespace, topic, payload }: JournalRow): Event => ({
  timestamp,
  nanos,
  namespace,
  topic,
  payload: { kind: 'any', any: payload },
});
