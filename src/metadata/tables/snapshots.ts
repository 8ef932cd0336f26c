import { microsecondsOf, now } from '#base/moment.ts';
import type { Labels } from '#core/any.ts';
import type { SnapshotId } from '#core/snapshots.ts';
import { date, labels, labelsJson, number, text } from '../columns.ts';
import type { Row, Sqlite } from '../sqlite.ts';
import { skipIds } from './ingests.ts';

export type SnapshotKind = 'view' | 'active' | 'committed';

/** A tree: the client's key, and the id that its driver knows. */
export interface SnapshotRow {
  readonly id: SnapshotId;
  /** What its driver calls it: the id, unless the driver has names of its own. */
  readonly tree: SnapshotId;
  /** What it may be called already, when the driver was told to seal it and we did not hear the answer. */
  readonly sealing: SnapshotId | undefined;
  readonly namespace: string;
  readonly snapshotter: string;
  readonly key: string;
  readonly kind: SnapshotKind;
  readonly parent: SnapshotId | undefined;
  /** Key of the parent; '' when there is none. */
  readonly parentKey: string;
  /** False until the driver has made the tree: nobody but its maker may see it. */
  readonly confirmed: boolean;
  readonly labels: Labels;
  /** Of a committed tree, without its parents. */
  readonly bytes: number;
  readonly inodes: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A tree that no row names any more. */
export type DroppedTree = Pick<SnapshotRow, 'snapshotter' | 'tree' | 'sealing'>;

const SELECT = `SELECT s.*, coalesce(p.key, '') AS parent_key FROM snapshots s LEFT JOIN snapshots p ON p.id = s.parent`;

export class SnapshotTable {
  readonly #db: Sqlite;

  constructor(db: Sqlite) {
    this.#db = db;
  }

  find(namespace: string, snapshotter: string, key: string): SnapshotRow | undefined {
    const row = this.#db.get(
      `${SELECT} WHERE s.namespace = ? AND s.snapshotter = ? AND s.key = ?`,
      namespace,
      snapshotter,
      key,
    );
    return row === undefined ? undefined : toSnapshot(row);
  }

  /** In the order of their keys, as they are asked for. */
  list(namespace: string, snapshotter: string): IteratorObject<SnapshotRow> {
    const sql = `${SELECT} WHERE s.namespace = ? AND s.snapshotter = ? AND s.confirmed = 1 AND s.key > ? ORDER BY s.key LIMIT ?`;
    return this.#db.pages(sql, 'key', namespace, snapshotter).map(toSnapshot);
  }

  byId(id: string): SnapshotRow | undefined {
    const row = this.#db.get(`${SELECT} WHERE s.id = ?`, Number(id));
    return row === undefined ? undefined : toSnapshot(row);
  }

  /** Every tree of every namespace, unconfirmed ones too. */
  all(): SnapshotRow[] {
    return this.#db.all(SELECT).map(toSnapshot);
  }

  /** Whether any row names this tree. */
  has(id: SnapshotId): boolean {
    return this.#db.get('SELECT 1 FROM snapshots WHERE id = ?', Number(id)) !== undefined;
  }

  hasChildren(id: SnapshotId): boolean {
    return this.#db.get('SELECT 1 FROM snapshots WHERE parent = ? LIMIT 1', Number(id)) !== undefined;
  }

  /** Whether any row needs what this driver calls so. */
  keeps(snapshotter: string, tree: SnapshotId): boolean {
    const named = this.#db.get(
      'SELECT 1 FROM snapshots WHERE snapshotter = ? AND tree IS NOT NULL AND (tree = ? OR sealing = ?) LIMIT 1',
      snapshotter,
      tree,
      tree,
    );
    if (named !== undefined || !/^[0-9]{1,15}$/.test(tree)) return named !== undefined;
    const plain = 'SELECT 1 FROM snapshots WHERE id = ? AND snapshotter = ? AND tree IS NULL';
    return this.#db.get(plain, Number(tree), snapshotter) !== undefined;
  }

  /** The trees beneath it, as their driver calls them, nearest first. */
  ancestors(id: SnapshotId): SnapshotId[] {
    const rows = this.#db.all(
      `WITH RECURSIVE chain (id, tree, parent, depth) AS (
         SELECT id, tree, parent, 0 FROM snapshots WHERE id = ?
         UNION ALL SELECT s.id, s.tree, s.parent, depth + 1 FROM snapshots s JOIN chain ON s.id = chain.parent)
       SELECT id, tree FROM chain WHERE depth > 0 ORDER BY depth`,
      Number(id),
    );
    return rows.map(treeOf);
  }

  /** Makes an unconfirmed row and gives its id, which is never given twice. */
  insert(row: {
    namespace: string;
    snapshotter: string;
    key: string;
    kind: SnapshotKind;
    parent: SnapshotId | undefined;
    labels: Labels;
  }): SnapshotId {
    const at = microsecondsOf(now());
    const id = this.#db.insert(
      `INSERT INTO snapshots (namespace, snapshotter, key, kind, parent, confirmed, labels, bytes, inodes,
         created_at, updated_at) VALUES (?, ?, ?, ?, ?, 0, ?, 0, 0, ?, ?)`,
      row.namespace,
      row.snapshotter,
      row.key,
      row.kind,
      row.parent === undefined ? null : Number(row.parent),
      labelsJson(row.labels),
      at,
      at,
    );
    this.#changed(String(id));
    return String(id) as SnapshotId;
  }

  /** Notes what the driver is to call the tree, before it hears of it. */
  nameTree(id: SnapshotId, tree: SnapshotId): void {
    this.#db.run('UPDATE snapshots SET tree = ? WHERE id = ?', tree, Number(id));
  }

  /** Notes what the driver is to call the tree once it is sealed, before it hears of it. */
  nameSealed(id: SnapshotId, sealing: SnapshotId): void {
    this.#db.run('UPDATE snapshots SET sealing = ? WHERE id = ?', sealing, Number(id));
  }

  confirm(id: SnapshotId): void {
    this.#db.run('UPDATE snapshots SET confirmed = 1 WHERE id = ?', Number(id));
    this.#changed(id);
  }

  /**
   * Turns an active tree into a committed one with a key of its own, and of another name to its driver where given. One
   * without a parent may get one.
   */
  commit(
    id: SnapshotId,
    to: {
      key: string;
      labels: Labels;
      bytes: number;
      inodes: number;
      tree?: SnapshotId;
      parent?: SnapshotId | undefined;
    },
  ): void {
    const at = microsecondsOf(now());
    this.#db.run(
      `UPDATE snapshots SET key = ?, kind = 'committed', confirmed = 1, labels = ?, bytes = ?, inodes = ?,
         created_at = ?, updated_at = ?, tree = coalesce(?, tree), sealing = NULL,
         parent = coalesce(parent, ?) WHERE id = ?`,
      to.key,
      labelsJson(to.labels),
      to.bytes,
      to.inodes,
      at,
      at,
      to.tree ?? null,
      to.parent === undefined ? null : Number(to.parent),
      Number(id),
    );
    this.#changed(id);
  }

  relabel(id: SnapshotId, map: Labels): void {
    this.#db.run(
      'UPDATE snapshots SET labels = ?, updated_at = ? WHERE id = ?',
      labelsJson(map),
      microsecondsOf(now()),
      Number(id),
    );
    this.#changed(id);
  }

  /** True when it was there. */
  delete(id: SnapshotId): boolean {
    const there = this.#db.run('DELETE FROM snapshots WHERE id = ?', Number(id)) > 0;
    if (there) this.#changed(id, true);
    return there;
  }

  /** Forgets what was never confirmed, with everything above it, and gives what was forgotten. */
  dropUnconfirmed(): DroppedTree[] {
    const rows = this.#db.all(
      `WITH RECURSIVE lost (id) AS (
         SELECT id FROM snapshots WHERE confirmed = 0
         UNION SELECT s.id FROM snapshots s JOIN lost ON s.parent = lost.id)
       DELETE FROM snapshots WHERE id IN (SELECT id FROM lost) RETURNING id, snapshotter, tree, sealing`,
    );
    return rows.map((row) => ({ snapshotter: text(row, 'snapshotter'), tree: treeOf(row), sealing: sealingOf(row) }));
  }

  /** Never gives out ids up to this one: a tree of that name is on disk. */
  skip(id: number): void {
    skipIds(this.#db, 'snapshots', id);
  }

  #changed(id: string, gone = false): void {
    this.#db.changes.record({ kind: 'snapshot', namespace: '', name: id, gone });
  }
}

const idOf = (row: Row): SnapshotId => String(number(row, 'id')) as SnapshotId;
const treeOf = (row: Row): SnapshotId => (row['tree'] === null ? idOf(row) : (text(row, 'tree') as SnapshotId));
const sealingOf = (row: Row): SnapshotId | undefined =>
  row['sealing'] === null ? undefined : (text(row, 'sealing') as SnapshotId);

function toSnapshot(row: Row): SnapshotRow {
  return {
    id: idOf(row),
    tree: treeOf(row),
    sealing: sealingOf(row),
    namespace: text(row, 'namespace'),
    snapshotter: text(row, 'snapshotter'),
    key: text(row, 'key'),
    kind: text(row, 'kind') as SnapshotKind,
    parent: row['parent'] === null ? undefined : (String(number(row, 'parent')) as SnapshotId),
    parentKey: text(row, 'parent_key'),
    confirmed: number(row, 'confirmed') === 1,
    labels: labels(row),
    bytes: number(row, 'bytes'),
    inodes: number(row, 'inodes'),
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
  };
}
