import type { Any } from '#core/any.ts';
import { number, text } from '../columns.ts';
import type { Row, Sqlite } from '../sqlite.ts';

export interface JournalRow {
  /** Grows with every row, not always by one; never given twice. */
  readonly seq: number;
  readonly timestamp: Date;
  /** What the timestamp has beyond its milliseconds. */
  readonly nanos: number;
  readonly namespace: string;
  readonly topic: string;
  readonly payload: Any;
}

/** Where a row stands: `upto` counts the bytes of all rows ever written, up to and with this one. */
export interface JournalMark {
  readonly seq: number;
  readonly keptAt: Date;
  readonly upto: number;
}

/** Where the last row that was cut away is remembered. */
const DROPPED = 'journal/dropped';

/** Events as they were published, oldest first. Rows are added at the end and cut away at the front, nothing else. */
export class JournalTable {
  readonly #db: Sqlite;

  constructor(db: Sqlite) {
    this.#db = db;
  }

  insert(row: JournalRow, mark: Pick<JournalMark, 'keptAt' | 'upto'>): void {
    this.#db.run(
      'INSERT INTO journal (seq, kept_at, upto, at, nanos, namespace, topic, type, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
      row.seq,
      mark.keptAt.getTime(),
      mark.upto,
      row.timestamp.getTime(),
      row.nanos,
      row.namespace,
      row.topic,
      row.payload.typeUrl,
      row.payload.value,
    );
  }

  /** The first rows after `seq`, at most `limit`. */
  after(seq: number, limit: number): JournalRow[] {
    return this.#db.all('SELECT * FROM journal WHERE seq > ? ORDER BY seq LIMIT ?', seq, limit).map(toRow);
  }

  oldest(): JournalMark | undefined {
    return this.#mark('SELECT seq, kept_at, upto FROM journal ORDER BY seq LIMIT 1');
  }

  newest(): JournalMark | undefined {
    return this.#mark('SELECT seq, kept_at, upto FROM journal ORDER BY seq DESC LIMIT 1');
  }

  count(): number {
    return number(this.#db.get('SELECT count(*) AS n FROM journal') as Row, 'n');
  }

  /** The last row that was ever cut away; 0 when none was. */
  dropped(): number {
    const row = this.#db.get('SELECT value FROM settings WHERE key = ?', DROPPED);
    return row === undefined ? 0 : Number(text(row, 'value'));
  }

  /** Cuts away rows at the front that end at or before `upto`, or were kept before `keptBefore`; at most `limit` of them. */
  cut(bounds: { upto: number; keptBefore: Date }, limit: number): number {
    const front = this.#db.all('SELECT seq, kept_at, upto FROM journal ORDER BY seq LIMIT ?', limit).map(toMark);
    // Times may go back when somebody sets the clock: the front ends at the first row that is to stay.
    const staying = front.findIndex(({ upto, keptAt }) => upto > bounds.upto && keptAt >= bounds.keptBefore);
    const count = staying < 0 ? front.length : staying;
    const last = front[count - 1];
    if (last === undefined) return 0;
    this.#db.transaction(() => {
      this.#db.run('DELETE FROM journal WHERE seq <= ?', last.seq);
      this.#db.run(
        'INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value',
        DROPPED,
        String(last.seq),
      );
    });
    return count;
  }

  #mark(sql: string): JournalMark | undefined {
    const row = this.#db.get(sql);
    return row === undefined ? undefined : toMark(row);
  }
}

const toMark = (row: Row): JournalMark => ({
  seq: number(row, 'seq'),
  keptAt: new Date(number(row, 'kept_at')),
  upto: number(row, 'upto'),
});

const toRow = (row: Row): JournalRow => ({
  seq: number(row, 'seq'),
  timestamp: new Date(number(row, 'at')),
  nanos: number(row, 'nanos'),
  namespace: text(row, 'namespace'),
  topic: text(row, 'topic'),
  payload: { typeUrl: text(row, 'type'), value: row['value'] as Uint8Array },
});
