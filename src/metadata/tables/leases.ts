import { microsecondsOf } from '#base/moment.ts';
import type { Labels } from '#core/any.ts';
import { date, labels, labelsJson, text } from '../columns.ts';
import type { Row, Sqlite } from '../sqlite.ts';

export interface LeaseRow {
  readonly id: string;
  readonly labels: Labels;
  readonly createdAt: Date;
}

/** `type` in containerd's words: `content`, `snapshots/overlayfs`, `ingests`, `images`. */
export interface LeaseResourceRow {
  readonly type: string;
  readonly id: string;
}

export class LeaseTable {
  readonly #db: Sqlite;

  constructor(db: Sqlite) {
    this.#db = db;
  }

  find(namespace: string, id: string): LeaseRow | undefined {
    const row = this.#db.get('SELECT * FROM leases WHERE namespace = ? AND id = ?', namespace, id);
    return row === undefined ? undefined : toLease(row);
  }

  /** In the order of their ids, as they are asked for. */
  list(namespace: string): IteratorObject<LeaseRow> {
    const sql = 'SELECT * FROM leases WHERE namespace = ? AND id > ? ORDER BY id LIMIT ?';
    return this.#db.pages(sql, 'id', namespace).map(toLease);
  }

  /** Every lease of every namespace, for the garbage collector. */
  all(): (LeaseRow & { namespace: string })[] {
    return this.#db.all('SELECT * FROM leases').map((row) => ({ ...toLease(row), namespace: text(row, 'namespace') }));
  }

  /** What every lease of every namespace holds. */
  allResources(): (LeaseResourceRow & { namespace: string; lease: string })[] {
    return this.#db.all('SELECT namespace, lease, type, id FROM lease_resources').map((row) => ({
      namespace: text(row, 'namespace'),
      lease: text(row, 'lease'),
      type: text(row, 'type'),
      id: text(row, 'id'),
    }));
  }

  insert(namespace: string, lease: LeaseRow): void {
    this.#db.run(
      'INSERT INTO leases (namespace, id, labels, created_at) VALUES (?, ?, ?, ?)',
      namespace,
      lease.id,
      labelsJson(lease.labels),
      microsecondsOf(lease.createdAt),
    );
    this.#db.changes.record({ kind: 'lease', namespace, name: lease.id });
  }

  /** True when it was there. What it held goes with it. */
  delete(namespace: string, id: string): boolean {
    return this.#db.transaction(() => {
      this.#db.run('DELETE FROM lease_resources WHERE namespace = ? AND lease = ?', namespace, id);
      const there = this.#db.run('DELETE FROM leases WHERE namespace = ? AND id = ?', namespace, id) > 0;
      if (there) this.#db.changes.record({ kind: 'lease', namespace, name: id, gone: true });
      return there;
    });
  }

  resources(namespace: string, lease: string): LeaseResourceRow[] {
    const rows = this.#db.all(
      'SELECT type, id FROM lease_resources WHERE namespace = ? AND lease = ? ORDER BY type, id',
      namespace,
      lease,
    );
    return rows.map((row) => ({ type: text(row, 'type'), id: text(row, 'id') }));
  }

  addResource(namespace: string, lease: string, resource: LeaseResourceRow): void {
    this.#db.run(
      'INSERT INTO lease_resources (namespace, lease, type, id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING',
      namespace,
      lease,
      resource.type,
      resource.id,
    );
    this.#db.changes.record({ kind: 'lease', namespace, name: lease, resource });
  }

  deleteResource(namespace: string, lease: string, resource: LeaseResourceRow): void {
    this.#db.run(
      'DELETE FROM lease_resources WHERE namespace = ? AND lease = ? AND type = ? AND id = ?',
      namespace,
      lease,
      resource.type,
      resource.id,
    );
    this.#db.changes.record({ kind: 'lease', namespace, name: lease });
  }
}

const toLease = (row: Row): LeaseRow => ({
  id: text(row, 'id'),
  labels: labels(row),
  createdAt: date(row, 'created_at'),
});
