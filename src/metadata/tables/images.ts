import { microsecondsOf } from '#base/moment.ts';
import type { Descriptor, Image } from '#core/images.ts';
import { date, labels, labelsJson, text } from '../columns.ts';
import type { Row, Sqlite } from '../sqlite.ts';

export class ImageTable {
  readonly #db: Sqlite;

  constructor(db: Sqlite) {
    this.#db = db;
  }

  find(namespace: string, name: string): Image | undefined {
    const row = this.#db.get('SELECT * FROM images WHERE namespace = ? AND name = ?', namespace, name);
    return row === undefined ? undefined : toImage(row);
  }

  /** In the order of their names, as they are asked for. */
  list(namespace: string): IteratorObject<Image> {
    const sql = 'SELECT * FROM images WHERE namespace = ? AND name > ? ORDER BY name LIMIT ?';
    return this.#db.pages(sql, 'name', namespace).map(toImage);
  }

  /** Every image of every namespace, for the garbage collector. */
  all(): (Image & { namespace: string })[] {
    return this.#db.all('SELECT * FROM images').map((row) => ({ ...toImage(row), namespace: text(row, 'namespace') }));
  }

  /** Makes or replaces the row. */
  put(namespace: string, image: Image): void {
    this.#db.run(
      `INSERT INTO images (namespace, name, labels, target, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET labels = excluded.labels, target = excluded.target,
         created_at = excluded.created_at, updated_at = excluded.updated_at`,
      namespace,
      image.name,
      labelsJson(image.labels),
      JSON.stringify(image.target),
      microsecondsOf(image.createdAt),
      microsecondsOf(image.updatedAt),
    );
    this.#db.changes.record({ kind: 'image', namespace, name: image.name });
  }

  /** True when it was there. */
  delete(namespace: string, name: string): boolean {
    const there = this.#db.run('DELETE FROM images WHERE namespace = ? AND name = ?', namespace, name) > 0;
    if (there) this.#db.changes.record({ kind: 'image', namespace, name, gone: true });
    return there;
  }
}

function toImage(row: Row): Image {
  return {
    name: text(row, 'name'),
    labels: labels(row),
    target: JSON.parse(text(row, 'target')) as Descriptor,
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
  };
}
