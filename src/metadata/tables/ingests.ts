import { microsecondsOf, now } from '#base/moment.ts';
import type { IngestId } from '#core/content.ts';
import type { Digest } from '#core/images.ts';
import { date, number, optionalDate, text } from '../columns.ts';
import type { Row, Sqlite } from '../sqlite.ts';

/** An unfinished upload: the client's ref, and the name its bytes have on disk. */
export interface IngestRow {
  readonly id: IngestId;
  readonly namespace: string;
  readonly ref: string;
  /** Bytes it will have; 0 when unknown. */
  readonly total: number;
  /** '' when unknown. */
  readonly expected: Digest;
  readonly createdAt: Date;
  /** Undefined while a lease decides. */
  readonly expiresAt?: Date;
}

export class IngestTable {
  readonly #db: Sqlite;

  constructor(db: Sqlite) {
    this.#db = db;
  }

  find(namespace: string, ref: string): IngestRow | undefined {
    const row = this.#db.get('SELECT * FROM ingests WHERE namespace = ? AND ref = ?', namespace, ref);
    return row === undefined ? undefined : toIngest(row);
  }

  list(namespace: string): IngestRow[] {
    return this.#db.all('SELECT * FROM ingests WHERE namespace = ? ORDER BY ref', namespace).map(toIngest);
  }

  all(): IngestRow[] {
    return this.#db.all('SELECT * FROM ingests').map(toIngest);
  }

  /** Makes the row, or goes on with the one that is there. An `expiresAt` of undefined leaves it to leases. */
  open(
    namespace: string,
    ref: string,
    given: { total: number; expected: Digest; expiresAt: Date | undefined },
  ): IngestRow {
    const expires = given.expiresAt === undefined ? null : microsecondsOf(given.expiresAt);
    this.#db.run(
      `INSERT INTO ingests (namespace, ref, total, expected, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET expires_at = excluded.expires_at,
         total = CASE excluded.total WHEN 0 THEN total ELSE excluded.total END,
         expected = CASE excluded.expected WHEN '' THEN expected ELSE excluded.expected END`,
      namespace,
      ref,
      given.total,
      given.expected,
      microsecondsOf(now()),
      expires,
    );
    this.#db.changes.record({ kind: 'ingest', namespace, name: ref });
    const row = this.find(namespace, ref);
    if (row === undefined) throw new Error(`ingest row of ref ${ref} vanished`);
    return row;
  }

  /** Whether any row names this upload on disk. */
  has(id: IngestId): boolean {
    return this.#db.get('SELECT 1 FROM ingests WHERE id = ?', Number(id)) !== undefined;
  }

  /** True when it was there. */
  delete(id: IngestId): boolean {
    const row = this.#db.get('DELETE FROM ingests WHERE id = ? RETURNING namespace, ref', Number(id));
    // An upload that ends takes no reference away: for the garbage collector it is a change, not a deletion.
    if (row !== undefined) this.#db.changes.record({ kind: 'namespace', namespace: text(row, 'namespace'), name: '' });
    return row !== undefined;
  }

  /** Never gives out ids up to this one: a directory of that name is on disk. */
  skip(id: number): void {
    skipIds(this.#db, 'ingests', id);
  }
}

/** Moves the counter of an AUTOINCREMENT table (sqlite.org/autoinc.html) past `id`. */
export function skipIds(db: Sqlite, table: string, id: number): void {
  db.transaction(() => {
    const changed = db.run('UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?', id, table);
    if (changed === 0) db.run('INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)', table, id);
  });
}

function toIngest(row: Row): IngestRow {
  const expiresAt = optionalDate(row, 'expires_at');
  return {
    id: String(number(row, 'id')) as IngestId,
    namespace: text(row, 'namespace'),
    ref: text(row, 'ref'),
    total: number(row, 'total'),
    expected: text(row, 'expected'),
    createdAt: date(row, 'created_at'),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
}
