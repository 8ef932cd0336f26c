import type { Labels } from '#core/any.ts';
import { labels, labelsJson, text } from '../columns.ts';
import type { Sqlite } from '../sqlite.ts';

export interface NamespaceRow {
  readonly name: string;
  readonly labels: Labels;
}

/** What may keep a namespace from being deleted, in containerd's words. (It deletes sandboxes with it, and leaves those that run.) */
const contents: readonly { readonly what: string; readonly sql: string }[] = [
  { what: 'images', sql: 'SELECT 1 FROM images WHERE namespace = ? LIMIT 1' },
  { what: 'blobs', sql: 'SELECT 1 FROM blobs WHERE namespace = ? LIMIT 1' },
  { what: 'containers', sql: 'SELECT 1 FROM containers WHERE namespace = ? LIMIT 1' },
  { what: 'sandboxes', sql: 'SELECT 1 FROM sandboxes WHERE namespace = ? LIMIT 1' },
];

export class NamespaceTable {
  readonly #db: Sqlite;

  constructor(db: Sqlite) {
    this.#db = db;
  }

  find(name: string): NamespaceRow | undefined {
    const row = this.#db.get('SELECT * FROM namespaces WHERE name = ?', name);
    return row === undefined ? undefined : { name, labels: labels(row) };
  }

  list(): NamespaceRow[] {
    const rows = this.#db.all('SELECT * FROM namespaces ORDER BY name');
    return rows.map((row) => ({ name: text(row, 'name'), labels: labels(row) }));
  }

  /** Makes it when it is not there: the first object of a namespace calls it into being. */
  ensure(name: string): void {
    this.#db.run("INSERT INTO namespaces (name, labels) VALUES (?, '{}') ON CONFLICT DO NOTHING", name);
  }

  put(row: NamespaceRow): void {
    this.#db.run(
      'INSERT INTO namespaces (name, labels) VALUES (?, ?) ON CONFLICT DO UPDATE SET labels = excluded.labels',
      row.name,
      labelsJson(row.labels),
    );
    this.#db.changes.record({ kind: 'namespace', namespace: row.name, name: row.name });
  }

  /** What still lives in it, in containerd's words; leases, ingests and names go with the namespace. */
  contents(name: string): string[] {
    const found = contents.filter(({ sql }) => this.#db.get(sql, name) !== undefined).map(({ what }) => what);
    const snapshotters = this.#db.all('SELECT DISTINCT snapshotter FROM snapshots WHERE namespace = ?', name);
    return [...found, ...snapshotters.map((row) => `snapshots on "${text(row, 'snapshotter')}" snapshotter`)];
  }

  /** True when it was there. Ingests stay for the garbage collector, which removes their bytes with them. */
  delete(name: string): boolean {
    return this.#db.transaction(() => {
      for (const table of ['leases', 'lease_resources', 'names', 'runs']) {
        this.#db.run(`DELETE FROM ${table} WHERE namespace = ?`, name);
      }
      this.#db.run('UPDATE ingests SET expires_at = 0 WHERE namespace = ?', name);
      return this.#db.run('DELETE FROM namespaces WHERE name = ?', name) > 0;
    });
  }
}
