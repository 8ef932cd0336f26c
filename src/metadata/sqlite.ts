import { DatabaseSync, type SQLInputValue, type StatementResultingChanges, type StatementSync } from 'node:sqlite';
import { HakoError } from '#base/errors.ts';
import { Changes } from './changes.ts';

/** Rows that a list reads at a time. */
const PAGE = 500;

/** What a column may hold. Dates are kept as integers, milliseconds since 1970. */
export type Value = string | number | null | Uint8Array;
export type Row = Readonly<Record<string, Value>>;

/** A transaction body must not wait: an `await` in it would let other requests write into our transaction. */
type Synchronous<T> = T extends PromiseLike<unknown> ? never : T;

/**
 * One connection to one SQLite file. The only file of the project that knows `node:sqlite`, which is still a release
 * candidate. Every statement is prepared once and kept.
 */
export class Sqlite {
  /** What tables tell the garbage collector. */
  readonly changes = new Changes((callback) => this.afterCommit(callback));
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #depth = 0;
  #writes = 0;
  #afterCommit: (() => void)[] = [];

  constructor(path: string) {
    try {
      this.#db = new DatabaseSync(path, { timeout: 5_000 });
    } catch (error) {
      throw new HakoError('internal', `ledger "${path}": ${describe(error)}`, error);
    }
  }

  /** Grows with every committed write transaction: tells whether there is anything to sync. */
  get writes(): number {
    return this.#writes;
  }

  /** Runs statements that give no rows and take no values (schema, pragmas). */
  script(sql: string): void {
    guarded(() => this.#db.exec(sql));
  }

  /** Changes rows and tells how many. */
  run(sql: string, ...values: readonly Value[]): number {
    return Number(this.#change(sql, values).changes);
  }

  /** Inserts one row and gives its integer key. */
  insert(sql: string, ...values: readonly Value[]): number {
    return Number(this.#change(sql, values).lastInsertRowid);
  }

  get(sql: string, ...values: readonly Value[]): Row | undefined {
    return guarded(() => this.#prepare(sql).get(...(values as SQLInputValue[])) as Row | undefined);
  }

  all(sql: string, ...values: readonly Value[]): Row[] {
    return guarded(() => this.#prepare(sql).all(...(values as SQLInputValue[])) as Row[]);
  }

  /**
   * Rows in the order of their key, read a page at a time: of many rows only some are in memory, and others may write between
   * two pages. `sql` asks for keys greater than the last of its values and for so many rows: `… AND KEY > ? ORDER BY KEY LIMIT ?`.
   */
  *pages(sql: string, key: string, ...values: readonly Value[]): Generator<Row> {
    for (let after: Value = ''; ;) {
      const rows = this.all(sql, ...values, after, PAGE);
      yield* rows;
      if (rows.length < PAGE) return;
      after = rows.at(-1)?.[key] as Value;
    }
  }

  /** All of `body` or nothing of it. A transaction inside another is part of it. */
  transaction<T>(body: () => Synchronous<T>): T {
    if (this.#depth > 0) return body();
    const result = this.#outermost(body);
    for (const callback of this.#afterCommit.splice(0)) callback();
    return result;
  }

  /** True in the body of a transaction. */
  get inTransaction(): boolean {
    return this.#depth > 0;
  }

  /** Called when the transaction that is under way has been committed, never when it was not; at once when there is none. */
  afterCommit(callback: () => void): void {
    if (this.#depth > 0) this.#afterCommit.push(callback);
    else callback();
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }

  #outermost<T>(body: () => Synchronous<T>): T {
    this.#db.exec('BEGIN IMMEDIATE');
    this.#depth += 1;
    try {
      const result = body();
      this.#db.exec('COMMIT');
      this.#writes += 1;
      return result;
    } catch (error) {
      this.#afterCommit = [];
      // SQLite rolls back by itself on some errors (disk full): then there is nothing left to roll back.
      try {
        this.#db.exec('ROLLBACK');
      } catch {}
      throw meaning(error);
    } finally {
      this.#depth -= 1;
    }
  }

  #change(sql: string, values: readonly Value[]): StatementResultingChanges {
    const result = guarded(() => this.#prepare(sql).run(...(values as SQLInputValue[])));
    // A change outside a transaction is one by itself.
    if (this.#depth === 0) this.#writes += 1;
    return result;
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw meaning(error);
  }
}

/** Primary result codes of SQLite (sqlite.org/rescode.html) that a person can do something about. */
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_NOTADB = 26;

function meaning(error: unknown): unknown {
  if (!(error instanceof Error) || !('errcode' in error)) return error;
  switch (Number(error.errcode) & 0xff) {
    case SQLITE_FULL:
      return new HakoError('resource-exhausted', 'the ledger could not be written: no space left on device', error);
    case SQLITE_IOERR:
      return new HakoError('data-loss', `the ledger could not be written: ${error.message}`, error);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return new HakoError('data-loss', `the ledger is damaged: ${error.message}`, error);
    default:
      return error;
  }
}

const describe = (error: unknown): string => (error instanceof Error ? error.message : String(error));
