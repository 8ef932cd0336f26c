import { microsecondsOf } from '#base/moment.ts';
import type { Labels } from '#core/any.ts';
import type { Digest } from '#core/images.ts';
import { date, labels, labelsJson, number, text } from '../columns.ts';
import type { Row, Sqlite } from '../sqlite.ts';

/** A blob as one namespace sees it. Several namespaces may have the same one; the disk has it once. */
export interface BlobRow {
  readonly digest: Digest;
  readonly size: number;
  readonly labels: Labels;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export class BlobTable {
  readonly #db: Sqlite;

  constructor(db: Sqlite) {
    this.#db = db;
  }

  find(namespace: string, digest: Digest): BlobRow | undefined {
    const row = this.#db.get('SELECT * FROM blobs WHERE namespace = ? AND digest = ?', namespace, digest);
    return row === undefined ? undefined : toBlob(row);
  }

  /** In the order of their digests, as they are asked for. */
  list(namespace: string): IteratorObject<BlobRow> {
    const sql = 'SELECT * FROM blobs WHERE namespace = ? AND digest > ? ORDER BY digest LIMIT ?';
    return this.#db.pages(sql, 'digest', namespace).map(toBlob);
  }

  /** Whether any namespace has it: while one does, the bytes stay. */
  anywhere(digest: Digest): boolean {
    return this.#db.get('SELECT 1 FROM blobs WHERE digest = ? LIMIT 1', digest) !== undefined;
  }

  namespacesOf(digest: Digest): string[] {
    return this.#db.all('SELECT namespace FROM blobs WHERE digest = ?', digest).map((row) => text(row, 'namespace'));
  }

  /** Every blob of every namespace, for the garbage collector. */
  all(): { namespace: string; digest: Digest; size: number; labels: Labels }[] {
    const rows = this.#db.all('SELECT namespace, digest, size, labels FROM blobs');
    return rows.map((row) => ({
      namespace: text(row, 'namespace'),
      digest: text(row, 'digest'),
      size: number(row, 'size'),
      labels: labels(row),
    }));
  }

  /** Makes or replaces the row. */
  put(namespace: string, blob: BlobRow): void {
    this.#db.run(
      `INSERT INTO blobs (namespace, digest, size, labels, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET labels = excluded.labels, updated_at = excluded.updated_at`,
      namespace,
      blob.digest,
      blob.size,
      labelsJson(blob.labels),
      microsecondsOf(blob.createdAt),
      microsecondsOf(blob.updatedAt),
    );
    this.#db.changes.record({ kind: 'content', namespace, name: blob.digest });
  }

  /** True when it was there. */
  delete(namespace: string, digest: Digest): boolean {
    const there = this.#db.run('DELETE FROM blobs WHERE namespace = ? AND digest = ?', namespace, digest) > 0;
    if (there) this.#db.changes.record({ kind: 'content', namespace, name: digest, gone: true });
    return there;
  }
}

function toBlob(row: Row): BlobRow {
  return {
    digest: text(row, 'digest'),
    size: number(row, 'size'),
    labels: labels(row),
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
  };
}
