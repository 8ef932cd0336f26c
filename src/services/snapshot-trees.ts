import { cleanupSignal } from '#base/call.ts';
import { codeOf, invalid, messageOf } from '#base/errors.ts';
import { Gate } from '#base/locks.ts';
import type { Logger } from '#base/log.ts';
import type { Labels } from '#core/any.ts';
import type { Layer, SnapshotDriver, SnapshotId } from '#core/snapshots.ts';
import type { Ledger } from '#metadata/ledger.ts';
import type { DroppedTree, SnapshotRow } from '#metadata/tables/snapshots.ts';
import { Background } from './background.ts';

export interface TreesParts {
  readonly ledger: Ledger;
  readonly drivers: ReadonlyMap<string, SnapshotDriver>;
  readonly logger: Logger;
}

/** Names the layer a tree is to become; a driver that has it already makes unpacking needless. */
export const REF_LABEL = 'containerd.io/snapshot.ref';
const INHERITED_PREFIX = 'containerd.io/snapshot/';

/** How long after a failure the trees that a remote side still keeps are asked for again. */
const RETRY_MS = 15_000;
/** How long a remote side may take to free what it was told to. */
const REMOTE_MS = 60_000;

/** A driver before a remote side: it may be away for a while, and what it keeps of ours is told by name. */
const isRemote = (driver: SnapshotDriver): boolean => driver.name !== undefined;

/** What the drivers keep, and how it comes to agree with the ledger. */
export class SnapshotTrees {
  readonly #ledger: Ledger;
  readonly #drivers: ReadonlyMap<string, SnapshotDriver>;
  readonly #logger: Logger;
  readonly #background: Background;
  /** Of remote snapshotters: making passes together, removing alone, since two rows may come to one tree. */
  readonly #gates = new Map<string, Gate>();
  /** Trees that a remote side would not remove when it was asked to. */
  readonly #owed = new Map<string, Set<SnapshotId>>();
  #retry: NodeJS.Timeout | undefined;

  constructor(parts: TreesParts) {
    this.#ledger = parts.ledger;
    this.#drivers = parts.drivers;
    this.#logger = parts.logger;
    this.#background = new Background(parts.logger);
  }

  driver(name: string): SnapshotDriver {
    const driver = this.#drivers.get(name);
    if (driver !== undefined) return driver;
    throw invalid(`snapshotter not loaded: ${name}: invalid argument`);
  }

  layer(row: SnapshotRow): Layer {
    return {
      id: row.tree,
      namespace: row.namespace,
      parents: this.#ledger.snapshots.ancestors(row.id),
      readonly: row.kind === 'view',
      labels: inherited(row.labels),
    };
  }

  /** The trees that one would stand on whose parent this is. */
  above(parent: SnapshotRow): readonly SnapshotId[] {
    return [parent.tree, ...this.#ledger.snapshots.ancestors(parent.id)];
  }

  /** Keeps removals away while a tree is being made. */
  async making(snapshotter: string, signal: AbortSignal): Promise<Disposable> {
    return isRemote(this.driver(snapshotter)) ? this.#gate(snapshotter).pass(signal) : { [Symbol.dispose]: () => {} };
  }

  /** Removes what was made for a row that is not to be. `making` is held, and nobody else knows the tree. */
  async undo(row: SnapshotRow): Promise<void> {
    try {
      await this.#drivers.get(row.snapshotter)?.remove(row.tree, cleanupSignal());
    } catch (error) {
      // The caller is told what went wrong first; the tree is found again later.
      this.#logger.log('warn', 'a half-made tree could not be removed', { id: row.tree, error: messageOf(error) });
      if (isRemote(this.driver(row.snapshotter))) this.#owe(row.snapshotter, [row.tree]);
    }
  }

  /** Discards in the background. */
  discardSoon(trees: readonly DroppedTree[]): void {
    this.#background.start('removing a snapshot', (signal) => this.discard(trees, signal));
  }

  /**
   * Removes trees whose rows are gone. A remote side that does not answer is asked again later; what cannot be removed
   * from disk fails, and is found again at the next start or by `cleanup`.
   */
  async discard(trees: Iterable<DroppedTree>, signal: AbortSignal): Promise<void> {
    // Without this a power cut could bring back a row whose tree is gone.
    await this.#ledger.durable();
    const bySnapshotter = Map.groupBy(trees, ({ snapshotter }) => snapshotter);
    const failures: Error[] = [];
    for (const [snapshotter, dropped] of bySnapshotter) {
      const ids = dropped.flatMap(({ tree, sealing }) => (sealing === undefined ? [tree] : [tree, sealing]));
      const driver = this.#drivers.get(snapshotter);
      // A snapshotter that is no longer configured keeps its trees: we do not know where they are.
      if (driver === undefined) continue;
      if (isRemote(driver)) await this.#discardRemote(snapshotter, ids);
      else failures.push(...(await this.#remove(snapshotter, ids, signal)).values());
    }
    if (failures[0] !== undefined) throw failures[0];
  }

  /** Removes what no row names. */
  async removeDebris(snapshotter: string, signal: AbortSignal): Promise<void> {
    const driver = this.driver(snapshotter);
    using _alone = isRemote(driver) ? await this.#gate(snapshotter).passAlone(signal) : undefined;
    const debris: SnapshotId[] = [...(this.#owed.get(snapshotter) ?? [])];
    for await (const id of driver.list(signal)) {
      // The counter may have been thrown back by a power cut: an id that is on disk is not given out again.
      if (/^[0-9]{1,15}$/.test(id)) this.#ledger.snapshots.skip(Number(id));
      if (!this.#ledger.snapshots.keeps(snapshotter, id)) debris.push(id);
    }
    const [failure] = (await this.#remove(snapshotter, debris, signal)).values();
    if (failure !== undefined) throw failure;
    this.#owed.delete(snapshotter);
    await driver.cleanup?.(signal);
    if (debris.length > 0)
      this.#logger.log('debug', 'removed trees that no row names', { snapshotter, count: debris.length });
  }

  /** Agrees with the disk after a start, before anybody may call. Remote sides follow when they answer. */
  async reconcile(signal: AbortSignal): Promise<void> {
    const dropped = this.#ledger.transaction(() => this.#ledger.snapshots.dropUnconfirmed());
    if (dropped.length > 0) this.#logger.log('info', 'dropped unfinished snapshots', { count: dropped.length });
    const remote = (name: string): boolean => isRemote(this.#drivers.get(name) ?? ({} as SnapshotDriver));
    await this.discard(
      dropped.filter(({ snapshotter }) => !remote(snapshotter)),
      signal,
    );
    for (const name of this.#drivers.keys()) {
      if (!remote(name)) {
        await this.removeDebris(name, signal);
        continue;
      }
      const ours = dropped.filter(({ snapshotter }) => snapshotter === name);
      this.#owe(
        name,
        ours.flatMap(({ tree, sealing }) => (sealing === undefined ? [tree] : [tree, sealing])),
        0,
      );
    }
  }

  idle(): Promise<void> {
    return this.#background.idle();
  }

  async close(): Promise<void> {
    clearTimeout(this.#retry);
    await this.#background.stop();
  }

  async #discardRemote(snapshotter: string, ids: readonly SnapshotId[]): Promise<void> {
    const signal = AbortSignal.any([this.#background.signal, AbortSignal.timeout(REMOTE_MS)]);
    try {
      using _alone = await this.#gate(snapshotter).passAlone(signal);
      const failed = await this.#remove(snapshotter, ids, signal);
      if (failed.size > 0) this.#owe(snapshotter, failed.keys());
      else await this.driver(snapshotter).cleanup?.(signal);
    } catch (error) {
      this.#logger.log('debug', 'a remote side did not clean up', { snapshotter, error: messageOf(error) });
      this.#owe(snapshotter, ids);
    }
  }

  /** Removes trees that no row needs, children before their parents, and gives what could not be removed, and why. */
  async #remove(snapshotter: string, ids: Iterable<SnapshotId>, signal: AbortSignal): Promise<Map<SnapshotId, Error>> {
    const driver = this.driver(snapshotter);
    let left = [...new Set(ids)];
    for (;;) {
      const failed = new Map<SnapshotId, Error>();
      for (const id of left) {
        if (this.#ledger.snapshots.keeps(snapshotter, id)) continue;
        try {
          await driver.remove(id, signal);
        } catch (error) {
          signal.throwIfAborted();
          failed.set(id, error instanceof Error ? error : new Error(messageOf(error)));
        }
      }
      const standing = [...failed.values()].some((error) => codeOf(error) === 'failed-precondition');
      if (failed.size === 0 || failed.size === left.length || !standing) {
        this.#report(snapshotter, failed);
        return failed;
      }
      // What stands on others has gone now; those may follow.
      left = [...failed.keys()];
    }
  }

  #report(snapshotter: string, failed: ReadonlyMap<SnapshotId, Error>): void {
    for (const [id, error] of failed)
      this.#logger.log('warn', 'a tree could not be removed', { snapshotter, id, error: messageOf(error) });
  }

  /** Remembers to ask a remote side again. */
  #owe(snapshotter: string, ids: Iterable<SnapshotId>, after = RETRY_MS): void {
    const owed = this.#owed.get(snapshotter) ?? new Set();
    for (const id of ids) owed.add(id);
    this.#owed.set(snapshotter, owed);
    if (this.#retry !== undefined || this.#background.signal.aborted) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#background.start('removing what remote snapshotters still keep', () => this.#payUp());
    }, after);
    this.#retry.unref();
  }

  async #payUp(): Promise<void> {
    for (const snapshotter of [...this.#owed.keys()]) {
      try {
        const signal = AbortSignal.any([this.#background.signal, AbortSignal.timeout(REMOTE_MS)]);
        await this.removeDebris(snapshotter, signal);
      } catch (error) {
        if (this.#background.signal.aborted) return;
        this.#logger.log('debug', 'a remote snapshotter is asked again later', {
          snapshotter,
          error: messageOf(error),
        });
        this.#owe(snapshotter, []);
      }
    }
  }

  #gate(snapshotter: string): Gate {
    const gate = this.#gates.get(snapshotter) ?? new Gate();
    this.#gates.set(snapshotter, gate);
    return gate;
  }
}

/** The labels that concern the driver. */
export function inherited(labels: Labels): Labels {
  const entries = Object.entries(labels).filter(([key]) => key === REF_LABEL || key.startsWith(INHERITED_PREFIX));
  return Object.fromEntries(entries);
}
