import type { Labels } from './any.ts';
import type { Mount } from './mounts.ts';

/**
 * Names a directory tree on disk. Ours, never the user's: keys and namespaces stay in metadata. A short integer in
 * decimal, since the mount options of all layers must fit one page.
 */
export type SnapshotId = string & { readonly brand: 'SnapshotId' };

/** A tree, and what lies beneath it. `parents` run from nearest to deepest. */
export interface Layer {
  readonly id: SnapshotId;
  readonly parents: readonly SnapshotId[];
  /** True for a view, which mounts nothing writable. */
  readonly readonly: boolean;
  /** Tells a lazy-pulling driver which remote layer this is. */
  readonly labels: Labels;
}

/** `complete`: the driver already holds the content, so there is nothing to unpack. */
export type Created = { readonly kind: 'empty' } | { readonly kind: 'complete' };

export interface Usage {
  readonly bytes: number;
  readonly inodes: number;
}

/** Keeps trees on disk. Every implementation passes `core/suites/snapshot-driver.ts`. */
export interface SnapshotDriver {
  /** Makes the tree. Idempotent: boot repeats it after a crash. */
  create(layer: Layer, signal: AbortSignal): Promise<Created>;
  /** Promises that the tree will not change again, and weighs it. */
  seal(layer: Layer, signal: AbortSignal): Promise<Usage>;
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
  /** Every tree on disk, for reconciling at boot. */
  list(signal: AbortSignal): AsyncIterable<SnapshotId>;
}
