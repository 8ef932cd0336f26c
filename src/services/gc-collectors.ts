import type { Labels } from '#core/any.ts';

/** Something that lives in memory, and with the lease it was made under: a stream, a mount. */
export interface Collectible {
  readonly namespace: string;
  readonly name: string;
  /** The lease it was made under. */
  readonly lease?: string;
  /** True while it needs nobody to hold it. */
  readonly active: boolean;
  /** Back references in them hang it on a container, an image, a blob or a snapshot. */
  readonly labels?: Labels;
}

/**
 * A kind of collectibles. `kind` is what a plan shows, and what a label names that holds one: `containerd.io/gc.ref.<kind>`.
 * The two methods are never called before the garbage collector knows it by `register`.
 */
export interface Collector {
  readonly kind: string;
  /** All there are now. */
  all(): Iterable<Collectible>;
  /** Removes one that nothing holds. It is one that `all` has just named, with the same lease, and not active. */
  remove(namespace: string, name: string, signal: AbortSignal): Promise<void>;
}
