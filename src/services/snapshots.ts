import type { Call } from '#base/call.ts';
import { cleanupSignal } from '#base/call.ts';
import { HakoError, invalid, messageOf } from '#base/errors.ts';
import { labelField, parseFilters } from '#base/filters.ts';
import { checkLabels } from '#base/identifiers.ts';
import { Locks } from '#base/locks.ts';
import { silent, type Logger } from '#base/log.ts';
import type { Labels } from '#core/any.ts';
import type { Mount } from '#core/mounts.ts';
import type { Layer, SnapshotDriver, SnapshotId, Usage } from '#core/snapshots.ts';
import type { Ledger } from '#metadata/ledger.ts';
import type { SnapshotRow } from '#metadata/tables/snapshots.ts';
import { Background } from './background.ts';
import type { Events } from './events.ts';
import { keptLabels, maskedLabels, refusePath } from './fields.ts';
import { hold, release } from './holds.ts';

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

/** Names the layer a tree is to become; a driver that has it already makes unpacking needless. */
const REF_LABEL = 'containerd.io/snapshot.ref';
const INHERITED_PREFIX = 'containerd.io/snapshot/';

/** Keys, parents and labels of file system trees. `snapshotter` '' is the default one; an unknown one is invalid. */
export class Snapshots {
  readonly #ledger: Ledger;
  readonly #events: Events;
  readonly #drivers: ReadonlyMap<string, SnapshotDriver>;
  readonly #default: string;
  readonly #logger: Logger;
  readonly #background: Background;
  /** By tree: commit and remove exclude each other. */
  readonly #locks = new Locks();

  constructor(parts: SnapshotsParts) {
    this.#ledger = parts.ledger;
    this.#events = parts.events;
    this.#drivers = parts.drivers;
    this.#default = parts.defaultSnapshotter;
    this.#logger = parts.logger ?? silent;
    this.#background = new Background(this.#logger);
  }

  async prepare(
    call: Call,
    snapshotter: string,
    key: string,
    parent: string,
    labels: Labels,
  ): Promise<readonly Mount[]> {
    const name = this.#name(snapshotter);
    const mounts = await this.#create(call, name, { kind: 'active', key, parent, labels });
    const fields = { key, parent, snapshotter: name };
    this.#events.publish(call.namespace, '/snapshot/prepare', { kind: 'plain', type: 'SnapshotPrepare', fields });
    return mounts;
  }

  view(call: Call, snapshotter: string, key: string, parent: string, labels: Labels): Promise<readonly Mount[]> {
    return this.#create(call, this.#name(snapshotter), { kind: 'view', key, parent, labels });
  }

  async mounts(call: Call, snapshotter: string, key: string): Promise<readonly Mount[]> {
    const name = this.#name(snapshotter);
    const row = this.#get(call, name, key);
    if (row.kind === 'committed') {
      throw new HakoError('failed-precondition', `requested snapshot ${key} not active or view: failed precondition`);
    }
    return this.#driver(name).mounts(this.#layer(row), call.signal);
  }

  /**
   * Turns an active tree into a committed one called `name`. What was written to it survives a power cut from then on,
   * unless `sync` is false: then the caller syncs the driver once for many trees, and holds them by a lease that the
   * next start ends if it did not come to that.
   */
  async commit(
    call: Call,
    snapshotter: string,
    name: string,
    key: string,
    labels: Labels,
    options: { sync?: boolean } = {},
  ): Promise<void> {
    const driverName = this.#name(snapshotter);
    checkLabels(labels, 'info.Labels');
    if (name === '') throw invalid('snapshot name must not be empty: invalid argument');
    {
      const { id } = this.#get(call, driverName, key);
      using _lock = await this.#locks.hold(id, call.signal);
      const row = this.#committable(call, driverName, name, key);
      const driver = this.#driver(driverName);
      const usage = await driver.seal(this.#layer(row), call.signal);
      if (options.sync !== false) await driver.sync?.(call.signal);
      this.#ledger.transaction(() => {
        // The driver took its time: the name may be taken by now, or the tree collected.
        this.#committable(call, driverName, name, key);
        this.#ledger.snapshots.commit(row.id, { key: name, labels, ...usage });
        hold(this.#ledger, call, { type: `snapshots/${driverName}`, id: name });
        release(this.#ledger, call, { type: `snapshots/${driverName}`, id: key });
      });
    }
    await this.#ledger.durable();
    const fields = { key, name, snapshotter: driverName };
    this.#events.publish(call.namespace, '/snapshot/commit', { kind: 'plain', type: 'SnapshotCommit', fields });
  }

  /** failed-precondition while it has children. */
  async remove(call: Call, snapshotter: string, key: string): Promise<void> {
    const name = this.#name(snapshotter);
    const row = this.#get(call, name, key);
    {
      using _lock = await this.#locks.hold(row.id, call.signal);
      this.#ledger.transaction(() => {
        if (this.#ledger.snapshots.hasChildren(row.id)) {
          throw new HakoError('failed-precondition', 'cannot remove snapshot with child: failed precondition');
        }
        if (!this.#ledger.snapshots.delete(row.id)) throw missing(key);
        release(this.#ledger, call, { type: `snapshots/${name}`, id: row.key });
      });
    }
    const fields = { key, snapshotter: name };
    this.#events.publish(call.namespace, '/snapshot/remove', { kind: 'plain', type: 'SnapshotRemove', fields });
    this.#background.start('removing a snapshot', (signal) => this.discard([row], signal));
  }

  stat(call: Call, snapshotter: string, key: string): SnapshotInfo {
    return toInfo(this.#get(call, this.#name(snapshotter), key));
  }

  async update(
    call: Call,
    snapshotter: string,
    given: { name: string; labels: Labels },
    paths: readonly string[],
  ): Promise<SnapshotInfo> {
    const name = this.#name(snapshotter);
    if (given.name === '') throw invalid('snapshot name must not be empty: invalid argument');
    this.#ledger.transaction(() => {
      const row = this.#get(call, name, given.name);
      const labels = maskedLabels(row.labels, given.labels, paths, (path) =>
        refusePath(path, `snapshot ${JSON.stringify(given.name)}`),
      );
      checkLabels(labels, 'info.Labels');
      this.#ledger.snapshots.relabel(row.id, labels);
    });
    await this.#ledger.durable();
    return this.stat(call, name, given.name);
  }

  list(call: Call, snapshotter: string, filters: readonly string[]): Iterable<SnapshotInfo> {
    const match = parseFilters(filters);
    return this.#ledger.snapshots
      .list(call.namespace, this.#name(snapshotter))
      .map(toInfo)
      .filter((info) => match((path) => snapshotField(info, path)));
  }

  async usage(call: Call, snapshotter: string, key: string): Promise<Usage> {
    const name = this.#name(snapshotter);
    const row = this.#get(call, name, key);
    if (row.kind === 'committed') return { bytes: row.bytes, inodes: row.inodes };
    return this.#driver(name).usage(this.#layer(row), call.signal);
  }

  /** Removes from disk what no row names. */
  async cleanup(call: Call, snapshotter: string): Promise<void> {
    await this.#removeDebris(this.#name(snapshotter), call.signal);
  }

  /** Removes trees from disk whose rows are gone. */
  async discard(trees: Iterable<{ id: SnapshotId; snapshotter: string }>, signal: AbortSignal): Promise<void> {
    // Without this a power cut could bring back a row whose tree is gone.
    await this.#ledger.durable();
    const failures: unknown[] = [];
    for (const { id, snapshotter } of trees) {
      if (this.#ledger.snapshots.has(id)) continue;
      try {
        // A snapshotter that is no longer configured keeps its trees: we do not know where they are.
        await this.#drivers.get(snapshotter)?.remove(id, signal);
      } catch (error) {
        signal.throwIfAborted();
        this.#logger.log('warn', 'a tree could not be removed', { snapshotter, id, error: messageOf(error) });
        failures.push(error);
      }
    }
    // Each of them is found again at the next start, or by `cleanup`.
    if (failures.length > 0) throw failures[0];
  }

  /** Agrees with the disk after a start, before anybody may call. */
  async reconcile(signal: AbortSignal): Promise<void> {
    const dropped = this.#ledger.transaction(() => this.#ledger.snapshots.dropUnconfirmed());
    if (dropped.length > 0) this.#logger.log('info', 'dropped unfinished snapshots', { count: dropped.length });
    await this.discard(dropped, signal);
    for (const name of this.#drivers.keys()) await this.#removeDebris(name, signal);
  }

  /** Resolves when nothing is being removed in the background. */
  idle(): Promise<void> {
    return this.#background.idle();
  }

  /** Stops removing. What is left on disk is found at the next start. */
  close(): Promise<void> {
    return this.#background.stop();
  }

  async #create(
    call: Call,
    snapshotter: string,
    wanted: { kind: 'active' | 'view'; key: string; parent: string; labels: Labels },
  ): Promise<readonly Mount[]> {
    if (wanted.key === '') throw invalid('snapshot key must not be empty: invalid argument');
    checkLabels(wanted.labels, 'info.Labels');
    const row = this.#insert(call, snapshotter, wanted);
    const driver = this.#driver(snapshotter);
    const layer = this.#layer(row);
    await using undo = new AsyncDisposableStack();
    undo.defer(() => this.#undo(row));
    const created = await driver.create(layer, call.signal);
    if (created.kind === 'complete') {
      this.#keepComplete(call, row);
      undo.move();
      const target = row.labels[REF_LABEL] ?? row.key;
      throw new HakoError('already-exists', `target snapshot "${target}" from snapshotter: already exists`);
    }
    const mounts = await driver.mounts(layer, call.signal);
    this.#ledger.transaction(() => {
      // The lease may have been deleted while the driver worked: then the tree would be garbage at birth.
      hold(this.#ledger, call, { type: `snapshots/${snapshotter}`, id: row.key });
      this.#ledger.snapshots.confirm(row.id);
    });
    undo.move();
    return mounts;
  }

  /** Makes the row, unconfirmed: from here on the key is taken, the parent stays, and nobody else sees the tree. */
  #insert(
    call: Call,
    snapshotter: string,
    wanted: { kind: 'active' | 'view'; key: string; parent: string; labels: Labels },
  ): SnapshotRow {
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
    return this.#ledger.transaction(() => {
      const parent = wanted.parent === '' ? undefined : this.#parent(find(wanted.parent), wanted.parent);
      this.#ledger.namespaces.ensure(call.namespace);
      snapshots.insert({ ...wanted, namespace: call.namespace, snapshotter, parent });
      hold(this.#ledger, call, { type: `snapshots/${snapshotter}`, id: wanted.key });
      const row = find(wanted.key);
      if (row === undefined) throw new Error(`snapshot row ${wanted.key} vanished`);
      return row;
    });
  }

  #parent(row: SnapshotRow | undefined, key: string): SnapshotId {
    if (row === undefined || !row.confirmed) {
      throw new HakoError('not-found', `parent snapshot ${key} does not exist: not found`);
    }
    if (row.kind !== 'committed')
      throw invalid(`parent ${JSON.stringify(key)} is not committed snapshot: invalid argument`);
    return row.id;
  }

  /** The driver holds the layer already: the row becomes the committed snapshot that the client meant to unpack. */
  #keepComplete(call: Call, row: SnapshotRow): void {
    const type = `snapshots/${row.snapshotter}`;
    const name = row.labels[REF_LABEL] ?? row.key;
    this.#ledger.transaction(() => {
      this.#ledger.snapshots.commit(row.id, { key: name, labels: row.labels, bytes: 0, inodes: 0 });
      release(this.#ledger, call, { type, id: row.key });
      hold(this.#ledger, call, { type, id: name });
    });
  }

  async #undo(row: SnapshotRow): Promise<void> {
    this.#ledger.snapshots.delete(row.id);
    try {
      await this.#drivers.get(row.snapshotter)?.remove(row.id, cleanupSignal());
    } catch (error) {
      // The caller is told what went wrong first; the tree is found again at the next start.
      this.#logger.log('warn', 'a half-made tree could not be removed', { id: row.id, error: messageOf(error) });
    }
  }

  #committable(call: Call, snapshotter: string, name: string, key: string): SnapshotRow {
    const taken = this.#ledger.snapshots.find(call.namespace, snapshotter, name);
    if (taken !== undefined) {
      hold(this.#ledger, call, { type: `snapshots/${snapshotter}`, id: name });
      throw new HakoError('already-exists', `snapshot ${JSON.stringify(name)}: already exists`);
    }
    const row = this.#get(call, snapshotter, key);
    if (row.kind !== 'active') {
      throw new HakoError('failed-precondition', `snapshot ${JSON.stringify(key)} is not active: failed precondition`);
    }
    return row;
  }

  async #removeDebris(snapshotter: string, signal: AbortSignal): Promise<void> {
    const driver = this.#driver(snapshotter);
    for await (const id of driver.list(signal)) {
      // The counter may have been thrown back by a power cut: an id that is on disk is not given out again.
      if (/^[0-9]{1,15}$/.test(id)) this.#ledger.snapshots.skip(Number(id));
      if (this.#ledger.snapshots.has(id)) continue;
      await driver.remove(id, signal);
      this.#logger.log('debug', 'removed a tree that no row names', { snapshotter, id });
    }
  }

  /** not-found for a tree that is still being made, too. */
  #get(call: Call, snapshotter: string, key: string): SnapshotRow {
    const row = this.#ledger.snapshots.find(call.namespace, snapshotter, key);
    if (row === undefined || !row.confirmed) throw missing(key);
    return row;
  }

  #layer(row: SnapshotRow): Layer {
    const inherited = Object.entries(row.labels).filter(
      ([key]) => key === REF_LABEL || key.startsWith(INHERITED_PREFIX),
    );
    return {
      id: row.id,
      parents: this.#ledger.snapshots.ancestors(row.id),
      readonly: row.kind === 'view',
      labels: Object.fromEntries(inherited),
    };
  }

  #name(snapshotter: string): string {
    const name = snapshotter === '' ? this.#default : snapshotter;
    this.#driver(name);
    return name;
  }

  #driver(name: string): SnapshotDriver {
    const driver = this.#drivers.get(name);
    if (driver !== undefined) return driver;
    const known = [...this.#drivers.keys()].join(', ');
    throw invalid(`snapshotter not loaded: ${name} (there is ${known === '' ? 'none' : known}): invalid argument`);
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
