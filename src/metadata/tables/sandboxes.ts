import { microsecondsOf } from '#base/moment.ts';
import type { Labels } from '#core/any.ts';
import type { Sandbox } from '#core/sandboxes.ts';
import { any, anys, anysJson, date, labels, labelsJson, text } from '../columns.ts';
import type { Row, Sqlite } from '../sqlite.ts';

/** Sandboxes as they are to be; whether they run is their sandboxer's to say. */
export class SandboxTable {
  readonly #db: Sqlite;

  constructor(db: Sqlite) {
    this.#db = db;
  }

  find(namespace: string, id: string): Sandbox | undefined {
    const row = this.#db.get('SELECT * FROM sandboxes WHERE namespace = ? AND id = ?', namespace, id);
    return row === undefined ? undefined : toSandbox(row);
  }

  /** In the order of their ids, as they are asked for. */
  list(namespace: string): IteratorObject<Sandbox> {
    const sql = 'SELECT * FROM sandboxes WHERE namespace = ? AND id > ? ORDER BY id LIMIT ?';
    return this.#db.pages(sql, 'id', namespace).map(toSandbox);
  }

  /** What each sandbox holds against the garbage collector. */
  references(): { namespace: string; id: string; labels: Labels }[] {
    const rows = this.#db.all('SELECT namespace, id, labels FROM sandboxes');
    return rows.map((row) => ({ namespace: text(row, 'namespace'), id: text(row, 'id'), labels: labels(row) }));
  }

  /** Makes or replaces the row. */
  put(namespace: string, sandbox: Sandbox): void {
    const { spec, runtime } = sandbox;
    this.#db.run(
      `INSERT INTO sandboxes (namespace, id, labels, runtime, options_type, options, spec_type, spec, sandboxer,
         extensions, created_at, updated_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET labels = excluded.labels, runtime = excluded.runtime,
         options_type = excluded.options_type, options = excluded.options, spec_type = excluded.spec_type,
         spec = excluded.spec, sandboxer = excluded.sandboxer, extensions = excluded.extensions,
         updated_at = excluded.updated_at`,
      namespace,
      sandbox.id,
      labelsJson(sandbox.labels),
      runtime.name,
      runtime.options?.typeUrl ?? null,
      runtime.options?.value ?? null,
      spec?.typeUrl ?? null,
      spec?.value ?? null,
      sandbox.sandboxer,
      anysJson(sandbox.extensions),
      microsecondsOf(sandbox.createdAt),
      microsecondsOf(sandbox.updatedAt),
    );
    this.#db.changes.record({ kind: 'sandbox', namespace, name: sandbox.id, labels: sandbox.labels });
  }

  /** True when it was there. */
  delete(namespace: string, id: string): boolean {
    const there = this.#db.run('DELETE FROM sandboxes WHERE namespace = ? AND id = ?', namespace, id) > 0;
    if (there) this.#db.changes.record({ kind: 'sandbox', namespace, name: id, gone: true });
    return there;
  }
}

function toSandbox(row: Row): Sandbox {
  const spec = any(row, 'spec_type', 'spec');
  const options = any(row, 'options_type', 'options');
  return {
    id: text(row, 'id'),
    labels: labels(row),
    runtime: { name: text(row, 'runtime'), ...(options === undefined ? {} : { options }) },
    ...(spec === undefined ? {} : { spec }),
    sandboxer: text(row, 'sandboxer'),
    extensions: anys(row, 'extensions'),
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
  };
}
