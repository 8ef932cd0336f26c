import type { Call } from '#base/call.ts';
import { HakoError, invalid } from '#base/errors.ts';
import type { Labels } from '#core/any.ts';
import type { Mount } from '#core/mounts.ts';
import type { Created, SnapshotId } from '#core/snapshots.ts';
import type { Ledger } from '#metadata/ledger.ts';
import type { SnapshotRow } from '#metadata/tables/snapshots.ts';
import { hold, release } from './holds.ts';
import { REF_LABEL, type SnapshotTrees } from './snapshot-trees.ts';

export interface WantedSnapshot {
  readonly kind: 'active' | 'view';
  readonly key: string;
  readonly parent: string;
  readonly labels: Labels;
}

/** Makes trees: the row first, unconfirmed, then the driver's part, then the row confirmed. */
export class SnapshotMaker {
  readonly #ledger: Ledger;
  readonly #trees: SnapshotTrees;

  constructor(ledger: Ledger, trees: SnapshotTrees) {
    this.#ledger = ledger;
    this.#trees = trees;
  }

  /** `told` is called as the row is confirmed. already-exists when the key is taken, and when the driver holds the layer that the tree was to become. */
  async make(
    call: Call,
    snapshotter: string,
    wanted: WantedSnapshot,
    told: () => void = () => undefined,
  ): Promise<readonly Mount[]> {
    const driver = this.#trees.driver(snapshotter);
    using _making = await this.#trees.making(snapshotter, call.signal);
    const row = this.#insert(call, snapshotter, wanted);
    const layer = this.#trees.layer(row);
    await using undo = new AsyncDisposableStack();
    undo.defer(() => {
      this.#ledger.snapshots.delete(row.id);
      return this.#trees.undo(row);
    });
    const created = await driver.create(layer, call.signal);
    if (created.kind === 'complete') {
      this.#keepComplete(call, row, created);
      undo.move();
      const target = row.labels[REF_LABEL] ?? row.key;
      throw new HakoError('already-exists', `target snapshot "${target}" from snapshotter: already exists`);
    }
    const mounts = await driver.mounts(layer, call.signal);
    this.#ledger.transaction(() => {
      // The lease may have been deleted while the driver worked: then the tree would be garbage at birth.
      hold(this.#ledger, call, { type: `snapshots/${snapshotter}`, id: row.key });
      this.#ledger.snapshots.confirm(row.id);
      told();
    });
    undo.move();
    return mounts;
  }

  /** Makes the row, unconfirmed: from here on the key is taken, the parent stays, and nobody else sees the tree. */
  #insert(call: Call, snapshotter: string, wanted: WantedSnapshot): SnapshotRow {
    const { snapshots } = this.#ledger;
    const find = (key: string): SnapshotRow | undefined => snapshots.find(call.namespace, snapshotter, key);
    const target = wanted.labels[REF_LABEL] ?? '';
    const taken = this.#ledger.transaction(() => {
      const row = (target === '' ? undefined : find(target)) ?? find(wanted.key);
      // Whoever asked for it wants it kept.
      if (row !== undefined) hold(this.#ledger, call, { type: `snapshots/${snapshotter}`, id: row.key });
      return row;
    });
    if (taken !== undefined) {
      const what = taken.key === target ? 'target snapshot' : 'snapshot';
      throw new HakoError('already-exists', `${what} ${JSON.stringify(taken.key)}: already exists`);
    }
    const driver = this.#trees.driver(snapshotter);
    return this.#ledger.transaction(() => {
      const parent = wanted.parent === '' ? undefined : parentOf(find(wanted.parent), wanted.parent);
      this.#ledger.namespaces.ensure(call.namespace);
      const id = snapshots.insert({ ...wanted, namespace: call.namespace, snapshotter, parent });
      const tree = driver.name?.({ namespace: call.namespace, id, key: wanted.key });
      if (tree !== undefined) snapshots.nameTree(id, tree);
      hold(this.#ledger, call, { type: `snapshots/${snapshotter}`, id: wanted.key });
      const row = find(wanted.key);
      if (row === undefined) throw new Error(`snapshot row ${wanted.key} vanished`);
      return row;
    });
  }

  /** The driver holds the layer already: the row becomes the committed snapshot that the client meant to unpack. */
  #keepComplete(call: Call, row: SnapshotRow, created: Created & { kind: 'complete' }): void {
    const { namespace, snapshotter } = row;
    const { snapshots } = this.#ledger;
    const type = `snapshots/${snapshotter}`;
    const name = row.labels[REF_LABEL] ?? row.key;
    this.#ledger.transaction(() => {
      // Two callers may have asked for one layer under two keys.
      if (snapshots.find(namespace, snapshotter, name) !== undefined) snapshots.delete(row.id);
      else {
        const labels = { ...created.labels, ...row.labels };
        const tree = created.id === undefined ? {} : { tree: created.id };
        snapshots.commit(row.id, { key: name, labels, bytes: 0, inodes: 0, ...tree });
      }
      release(this.#ledger, call, { type, id: row.key });
      hold(this.#ledger, call, { type, id: name });
    });
  }
}

/** What containerd calls a snapshot where its snapshotters speak: its messages say so, and scripts read them. */
export const backendName = ({ namespace, id, key }: SnapshotRow): string => `${namespace}/${id}/${key}`;

function parentOf(row: SnapshotRow | undefined, key: string): SnapshotId {
  if (row === undefined || !row.confirmed) {
    throw new HakoError('not-found', `parent snapshot ${key} does not exist: not found`);
  }
  if (row.kind !== 'committed') {
    const problem = `parent ${JSON.stringify(backendName(row))} is not committed snapshot: invalid argument`;
    throw invalid(`failed to create snapshot: ${problem}`);
  }
  return row.id;
}
