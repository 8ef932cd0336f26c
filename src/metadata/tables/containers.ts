import { microsecondsOf } from '#base/moment.ts';
import type { Container } from '#core/containers.ts';
import { any, anys, anysJson, date, labels, labelsJson, text } from '../columns.ts';
import type { Row, Sqlite } from '../sqlite.ts';

export class ContainerTable {
  readonly #db: Sqlite;

  constructor(db: Sqlite) {
    this.#db = db;
  }

  find(namespace: string, id: string): Container | undefined {
    const row = this.#db.get('SELECT * FROM containers WHERE namespace = ? AND id = ?', namespace, id);
    return row === undefined ? undefined : toContainer(row);
  }

  has(namespace: string, id: string): boolean {
    return this.#db.get('SELECT 1 FROM containers WHERE namespace = ? AND id = ?', namespace, id) !== undefined;
  }

  /** In the order of their ids, as they are asked for. */
  list(namespace: string): IteratorObject<Container> {
    const sql = 'SELECT * FROM containers WHERE namespace = ? AND id > ? ORDER BY id LIMIT ?';
    return this.#db.pages(sql, 'id', namespace).map(toContainer);
  }

  /** Every container of every namespace, by its names alone. */
  ids(): { namespace: string; id: string }[] {
    const rows = this.#db.all('SELECT namespace, id FROM containers');
    return rows.map((row) => ({ namespace: text(row, 'namespace'), id: text(row, 'id') }));
  }

  /** What each container holds against the garbage collector. */
  references(): { namespace: string; id: string; labels: Container['labels']; snapshotter: string; key: string }[] {
    const rows = this.#db.all('SELECT namespace, id, labels, snapshotter, snapshot_key FROM containers');
    return rows.map((row) => ({
      namespace: text(row, 'namespace'),
      id: text(row, 'id'),
      labels: labels(row),
      snapshotter: text(row, 'snapshotter'),
      key: text(row, 'snapshot_key'),
    }));
  }

  /** Makes or replaces the row. */
  put(namespace: string, container: Container): void {
    const { spec, runtime } = container;
    this.#db.run(
      `INSERT INTO containers (namespace, id, image, labels, spec_type, spec, runtime, options_type, options,
         snapshotter, snapshot_key, sandbox, extensions, created_at, updated_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET image = excluded.image, labels = excluded.labels, spec_type = excluded.spec_type,
         spec = excluded.spec, runtime = excluded.runtime, options_type = excluded.options_type,
         options = excluded.options, snapshotter = excluded.snapshotter, snapshot_key = excluded.snapshot_key,
         sandbox = excluded.sandbox, extensions = excluded.extensions, updated_at = excluded.updated_at`,
      namespace,
      container.id,
      container.image,
      labelsJson(container.labels),
      spec?.typeUrl ?? null,
      spec?.value ?? null,
      runtime.name,
      runtime.options?.typeUrl ?? null,
      runtime.options?.value ?? null,
      container.snapshotter,
      container.snapshotKey,
      container.sandbox,
      anysJson(container.extensions),
      microsecondsOf(container.createdAt),
      microsecondsOf(container.updatedAt),
    );
    this.#db.changes.record({ kind: 'container', namespace, name: container.id });
  }

  /** True when it was there. */
  delete(namespace: string, id: string): boolean {
    const there = this.#db.run('DELETE FROM containers WHERE namespace = ? AND id = ?', namespace, id) > 0;
    if (there) this.#db.changes.record({ kind: 'container', namespace, name: id, gone: true });
    return there;
  }
}

function toContainer(row: Row): Container {
  const spec = any(row, 'spec_type', 'spec');
  const options = any(row, 'options_type', 'options');
  return {
    id: text(row, 'id'),
    image: text(row, 'image'),
    labels: labels(row),
    ...(spec === undefined ? {} : { spec }),
    runtime: { name: text(row, 'runtime'), ...(options === undefined ? {} : { options }) },
    snapshotter: text(row, 'snapshotter'),
    snapshotKey: text(row, 'snapshot_key'),
    sandbox: text(row, 'sandbox'),
    extensions: anys(row, 'extensions'),
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
  };
}
