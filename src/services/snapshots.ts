import type { Call } from '#base/call.ts';
import { codeless, HakoError, invalid, messageOf } from '#base/errors.ts';
import { labelField, parseFilters, type Filter } from '#base/filters.ts';
import { checkLabels } from '#base/identifiers.ts';
import { Locks } from '#base/locks.ts';
import { silent, type Logger } from '#base/log.ts';
import type { Labels } from '#core/any.ts';
import type { Mount } from '#core/mounts.ts';
import type { SnapshotDriver, SnapshotId, Usage } from '#core/snapshots.ts';
import type { Ledger } from '#metadata/ledger.ts';
import type { DroppedTree, SnapshotRow } from '#metadata/tables/snapshots.ts';
import type { Events } from './events.ts';
import { keptLabels, maskedLabels, refusePath } from './fields.ts';
import { hold, release } from './holds.ts';
import { backendName, SnapshotMaker, type WantedSnapshot } from './snapshot-maker.ts';
import { inherited, SnapshotTrees } from './snapshot-trees.ts';

export interface SnapshotInfo {
  readonly kind: 'view' | 'active' | 'committed';
  readonly name: string;
  readonly parent: string;
  readonly labels: Labels;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface SnapshotsParts {
  readonly ledger: Ledger;
  readonly events: Events;
  readonly drivers: ReadonlyMap<string, SnapshotDriver>;
  /** The snapshotter that '' means. */
  readonly defaultSnapshotter: string;
  readonly logger?: Logger;
}

/** The label of a namespace that says which snapshotter '' means there. */
const DEFAULT_LABEL = 'containerd.io/defaults/snapshotter';

/** Keys, parents and labels of file system trees. `snapshotter` '' is the default one; an unknown one is invalid. */
export class Snapshots {
  readonly #ledger: Ledger;
  readonly #events: Events;
  readonly #default: string;
  readonly #trees: SnapshotTrees;
  readonly #maker: SnapshotMaker;
  /** By tree: commit and remove exclude each other. */
  readonly #locks = new Locks();

  constructor(parts: SnapshotsParts) {
    this.#ledger = parts.ledger;
    this.#events = parts.events;
    this.#default = parts.defaultSnapshotter;
    this.#trees = new SnapshotTrees({ ...parts, logger: parts.logger ?? silent });
    this.#maker = new SnapshotMaker(parts.ledger, this.#trees);
  }

  async prepare(
    call: Call,
    snapshotter: string,
    key: string,
    parent: string,
    labels: Labels,
  ): Promise<readonly Mount[]> {
    const name = this.#name(call, snapshotter);
    const fields = { key, parent, snapshotter: name };
    return this.#make(call, name, { kind: 'active', key, parent, labels }, () => {
      const payload = { kind: 'plain', type: 'SnapshotPrepare', fields } as const;
      this.#events.publish(call.namespace, '/snapshot/prepare', payload, { sync: false });
    });
  }

  view(call: Call, snapshotter: string, key: string, parent: string, labels: Labels): Promise<readonly Mount[]> {
    return this.#make(call, this.#name(call, snapshotter), { kind: 'view', key, parent, labels });
  }

  async mounts(call: Call, snapshotter: string, key: string): Promise<readonly Mount[]> {
    const name = this.#name(call, snapshotter);
    const row = this.#get(call, name, key);
    if (row.kind === 'committed') {
      const problem = `requested snapshot ${backendName(row)} not active or view: failed precondition`;
      // containerd's two say it in words of their own, and clients show them.
      const what = name === 'native' ? 'snapshot mount' : 'active mount';
      throw new HakoError('failed-precondition', `failed to get ${what}: ${problem}`);
    }
    return this.#trees.driver(name).mounts(this.#trees.layer(row), call.signal);
  }

  /**
   * Turns an active tree into a committed one called `name`. What was written to it survives a power cut from then on,
   * unless `sync` is false: then the caller syncs the driver once for many trees, and holds them by a lease that the
   * next start ends if it did not come to that. `parent` puts a tree that was made without one upon another, so that
   * layers can be unpacked side by side.
   */
  async commit(
    call: Call,
    snapshotter: string,
    name: string,
    key: string,
    labels: Labels,
    options: { sync?: boolean; parent?: string } = {},
  ): Promise<void> {
    const driverName = this.#name(call, snapshotter);
    checkLabels(labels, 'info.Labels');
    if (name === '') throw codeless('bucket name required');
    {
      this.#refuseTaken(call, driverName, name);
      const { id } = this.#get(call, driverName, key);
      using _lock = await this.#locks.hold(id, call.signal);
      // A remote side cannot take a commit back that lost the race for its name.
      using _name = await this.#locks.hold(`${call.namespace}/${driverName}/${name}`, call.signal);
      const row = this.#committable(call, driverName, name, key);
      const driver = this.#trees.driver(driverName);
      const parent = this.#rebased(call, driver, row, options.parent ?? '');
      const tree = this.#nameSealed(driver, row, name);
      const layer = { ...this.#trees.layer(row), labels: inherited(labels) };
      const parents = parent === undefined ? layer.parents : this.#trees.above(parent);
      const usage = await driver.seal({ ...layer, parents }, call.signal, tree);
      if (options.sync !== false) await driver.sync?.(call.signal);
      this.#ledger.transaction(() => {
        // The driver took its time: the name may be taken by now, or the tree collected.
        this.#committable(call, driverName, name, key);
        const above = this.#rebased(call, driver, row, options.parent ?? '')?.id;
        const named = tree === undefined ? {} : { tree };
        this.#ledger.snapshots.commit(row.id, { key: name, labels, ...usage, ...named, parent: above });
        hold(this.#ledger, call, { type: `snapshots/${driverName}`, id: name });
        release(this.#ledger, call, { type: `snapshots/${driverName}`, id: key });
        const fields = { key, name, snapshotter: driverName };
        this.#events.publish(call.namespace, '/snapshot/commit', { kind: 'plain', type: 'SnapshotCommit', fields });
      });
    }
    await this.#ledger.durable();
  }

  /** failed-precondition while it has children. */
  async remove(call: Call, snapshotter: string, key: string): Promise<void> {
    const name = this.#name(call, snapshotter);
    const row = this.#get(call, name, key);
    {
      using _lock = await this.#locks.hold(row.id, call.signal);
      this.#ledger.transaction(() => {
        if (this.#ledger.snapshots.hasChildren(row.id)) {
          throw new HakoError('failed-precondition', 'cannot remove snapshot with child: failed precondition');
        }
        if (!this.#ledger.snapshots.delete(row.id)) throw missing(key);
        release(this.#ledger, call, { type: `snapshots/${name}`, id: row.key });
        const payload = { kind: 'plain', type: 'SnapshotRemove', fields: { key, snapshotter: name } } as const;
        this.#events.publish(call.namespace, '/snapshot/remove', payload, { sync: false });
      });
    }
    this.#trees.discardSoon([row]);
  }

  stat(call: Call, snapshotter: string, key: string): SnapshotInfo {
    return this.#info(this.#get(call, this.#name(call, snapshotter), key));
  }

  async update(
    call: Call,
    snapshotter: string,
    given: { name: string; labels: Labels },
    paths: readonly string[],
  ): Promise<SnapshotInfo> {
    const name = this.#name(call, snapshotter);
    if (given.name === '') throw invalid('snapshot name must not be empty: invalid argument');
    const labelsOf = (row: SnapshotRow): Labels => {
      const labels = maskedLabels(row.labels, given.labels, paths, (path) =>
        refusePath(path, `snapshot ${JSON.stringify(given.name)}`),
      );
      checkLabels(labels, 'info.Labels');
      return labels;
    };
    const driver = this.#trees.driver(name);
    if (driver.relabel !== undefined) {
      const row = this.#get(call, name, given.name);
      await driver.relabel({ ...this.#trees.layer(row), labels: inherited(keptLabels(labelsOf(row))) }, call.signal);
    }
    this.#ledger.transaction(() => {
      const row = this.#get(call, name, given.name);
      this.#ledger.snapshots.relabel(row.id, labelsOf(row));
    });
    await this.#ledger.durable();
    return this.stat(call, name, given.name);
  }

  list(call: Call, snapshotter: string, filters: readonly string[]): IteratorObject<SnapshotInfo> {
    const match = this.#filter(filters);
    return this.#ledger.snapshots
      .list(call.namespace, this.#name(call, snapshotter))
      .map((row) => this.#info(row))
      .filter((info) => match((path) => snapshotField(info, path)));
  }

  async usage(call: Call, snapshotter: string, key: string): Promise<Usage> {
    const name = this.#name(call, snapshotter);
    const row = this.#get(call, name, key);
    const driver = this.#trees.driver(name);
    // A remote side may fetch what it has promised only later, so it is asked each time.
    if (driver.name === undefined && row.kind !== 'active') return { bytes: row.bytes, inodes: row.inodes };
    return driver.usage(this.#trees.layer(row), call.signal);
  }

  /** Removes from disk what no row names. */
  async cleanup(call: Call, snapshotter: string): Promise<void> {
    await this.#trees.removeDebris(this.#name(call, snapshotter), call.signal);
  }

  /** Removes trees from disk whose rows are gone. */
  discard(trees: Iterable<DroppedTree>, signal: AbortSignal): Promise<void> {
    return this.#trees.discard(trees, signal);
  }

  /** Agrees with the disk after a start, before anybody may call. */
  reconcile(signal: AbortSignal): Promise<void> {
    return this.#trees.reconcile(signal);
  }

  /** Resolves when nothing is being removed in the background. */
  idle(): Promise<void> {
    return this.#trees.idle();
  }

  /** Stops removing. What is left on disk is found at the next start. */
  close(): Promise<void> {
    return this.#trees.close();
  }

  #filter(filters: readonly string[]): Filter {
    try {
      return parseFilters(filters);
    } catch (error) {
      throw codeless(messageOf(error));
    }
  }

  async #make(call: Call, snapshotter: string, wanted: WantedSnapshot, told?: () => void): Promise<readonly Mount[]> {
    if (wanted.key === '') throw codeless('bucket name required');
    checkLabels(wanted.labels, 'info.Labels');
    return this.#maker.make(call, snapshotter, wanted, told);
  }

  /** The name that a driver with names is to seal the tree under, noted before it hears of it; undefined for others. */
  #nameSealed(driver: SnapshotDriver, row: SnapshotRow, key: string): SnapshotId | undefined {
    // An earlier call may have got as far as that: the tree then has its name already.
    const tree = row.sealing ?? driver.name?.({ namespace: row.namespace, id: row.id, key });
    if (tree !== undefined) this.#ledger.snapshots.nameSealed(row.id, tree);
    return tree;
  }

  /** The parent that a tree without one is to get; undefined when it stays as it is. */
  #rebased(call: Call, driver: SnapshotDriver, row: SnapshotRow, key: string): SnapshotRow | undefined {
    if (key === '' || key === row.parentKey) return undefined;
    if (row.parent !== undefined)
      throw invalid(`cannot change parent of active snapshot ${JSON.stringify(row.key)} on commit: invalid argument`);
    if (driver.rebases !== true)
      throw new HakoError(
        'unimplemented',
        `snapshotter ${row.snapshotter} cannot put a tree upon a parent when it is committed: prepare it with its parent: not implemented`,
      );
    const parent = this.#ledger.snapshots.find(call.namespace, row.snapshotter, key);
    if (parent === undefined || !parent.confirmed)
      throw new HakoError('not-found', `parent snapshot ${key} does not exist: not found`);
    if (parent.kind !== 'committed')
      throw new HakoError(
        'failed-precondition',
        `failed to commit snapshot ${backendName(row)}: parent ${JSON.stringify(backendName(parent))} is not committed: failed precondition`,
      );
    return parent;
  }

  #refuseTaken(call: Call, snapshotter: string, name: string): void {
    if (this.#ledger.snapshots.find(call.namespace, snapshotter, name) === undefined) return;
    hold(this.#ledger, call, { type: `snapshots/${snapshotter}`, id: name });
    throw new HakoError('already-exists', `snapshot ${JSON.stringify(name)}: already exists`);
  }

  #committable(call: Call, snapshotter: string, name: string, key: string): SnapshotRow {
    this.#refuseTaken(call, snapshotter, name);
    const row = this.#get(call, snapshotter, key);
    if (row.kind !== 'active') {
      const is = backendName(row);
      const problem = `snapshot ${JSON.stringify(is)} is not active: failed precondition`;
      throw new HakoError('failed-precondition', `failed to commit snapshot ${is}: ${problem}`);
    }
    return row;
  }

  /** not-found for a tree that is still being made, too. */
  #get(call: Call, snapshotter: string, key: string): SnapshotRow {
    const row = this.#ledger.snapshots.find(call.namespace, snapshotter, key);
    if (row === undefined || !row.confirmed) throw missing(key);
    return row;
  }

  #info(row: SnapshotRow): SnapshotInfo {
    const facts = this.#trees.driver(row.snapshotter).facts?.(row.tree);
    return facts === undefined ? toInfo(row) : toInfo({ ...row, labels: { ...facts, ...row.labels } });
  }

  #name(call: Call, snapshotter: string): string {
    const name =
      snapshotter === ''
        ? (this.#ledger.namespaces.find(call.namespace)?.labels[DEFAULT_LABEL] ?? this.#default)
        : snapshotter;
    this.#trees.driver(name);
    return name;
  }
}

const missing = (key: string): HakoError => new HakoError('not-found', `snapshot ${key} does not exist: not found`);

const toInfo = (row: SnapshotRow): SnapshotInfo => ({
  kind: row.kind,
  name: row.key,
  parent: row.parentKey,
  labels: keptLabels(row.labels),
  createdAt: row.createdAt,
  updatedAt: row.updatedAt,
});

function snapshotField(info: SnapshotInfo, path: readonly string[]): string | undefined {
  const [first, ...rest] = path;
  if (first === 'kind') return info.kind;
  if (first === 'name') return info.name;
  if (first === 'parent') return info.parent;
  return first === 'labels' ? labelField(info.labels, rest) : undefined;
}
