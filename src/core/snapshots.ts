import type { Labels } from './any.ts';
import type { Mount } from './mounts.ts';

/**
 * Names a tree to its driver. A short integer in decimal, which the ledger gave out: keys and namespaces stay in metadata,
 * and the mount options of all layers must fit one page. Only a driver before a remote side has names of its own.
 */
export type SnapshotId = string & { readonly brand: 'SnapshotId' };

/** A tree, and what lies beneath it. `parents` run from nearest to deepest. */
export interface Layer {
  readonly id: SnapshotId;
  /** Whose it is: a remote side may want to know. */
  readonly namespace: string;
  readonly parents: readonly SnapshotId[];
  /** True for a view, which mounts nothing writable. */
  readonly readonly: boolean;
  /** Tells a lazy-pulling driver which remote layer this is. */
  readonly labels: Labels;
}

/**
 * `complete`: the driver already holds the content, so there is nothing to unpack; `id` is its name there when it is not
 * the one that was asked for, `labels` what the remote side says of it.
 */
export type Created =
  | { readonly kind: 'empty' }
  | { readonly kind: 'complete'; readonly id?: SnapshotId; readonly labels?: Labels };

export interface Usage {
  readonly bytes: number;
  readonly inodes: number;
}

/** Keeps trees on disk. Every implementation passes `core/suites/snapshot-driver.ts`. */
export interface SnapshotDriver {
  /** Whether a tree that was made without parents may be put upon some when it is sealed: `parents` has them then. */
  readonly rebases?: boolean;
  /**
   * The name that a tree is to have, for a driver before a remote side: the ledger keeps it and says it in every call.
   * Without this method ids are the ledger's numbers.
   */
  name?(tree: { readonly namespace: string; readonly id: SnapshotId; readonly key: string }): SnapshotId;
  /** Makes the tree. Idempotent: boot repeats it after a crash. */
  create(layer: Layer, signal: AbortSignal): Promise<Created>;
  /**
   * Promises that the tree will not change again, and weighs it. A driver with names calls it `as` from then on.
   * Idempotent: a caller who heard no answer asks again.
   */
  seal(layer: Layer, signal: AbortSignal, as?: SnapshotId): Promise<Usage>;
  /** Tells a remote side the labels that concern it. */
  relabel?(layer: Layer, signal: AbortSignal): Promise<void>;
  /** Weighs a tree that may still change, without its parents. */
  usage(layer: Layer, signal: AbortSignal): Promise<Usage>;
  /** Says how to mount the tree. Asynchronous for drivers behind a socket. */
  mounts(layer: Layer, signal: AbortSignal): Promise<readonly Mount[]>;
  /**
   * Makes everything unpacked so far survive a power cut: one syncfs(2), however many trees. Await it once an image,
   * before its rows are confirmed. Absent where a remote side answers for that.
   */
  sync?(signal: AbortSignal): Promise<void>;
  /** Deletes the tree. Idempotent: the garbage collector repeats itself. */
  remove(id: SnapshotId, signal: AbortSignal): Promise<void>;
  /** Labels that are not the ledger's, but tell where a tree is. Touches no disk. */
  facts?(id: SnapshotId): Labels;
  /** Lets a remote side free what it still keeps of removed trees. */
  cleanup?(signal: AbortSignal): Promise<void>;
  /** Every tree on disk, for reconciling at boot; of a remote side's only those that we made. */
  list(signal: AbortSignal): AsyncIterable<SnapshotId>;
}
