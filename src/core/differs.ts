import type { Any, Labels } from './any.ts';
import type { Blob } from './content.ts';
import type { Descriptor, Digest } from './images.ts';
import type { Mount } from './mounts.ts';

/** Whose content it is: for a differ behind a socket, which reads and writes it through our own door. */
export interface DiffScope {
  readonly namespace: string;
  readonly lease?: string;
}

export interface ApplyOptions {
  /** What each stream processor is told, by its id: the keys to decrypt with, for instance. */
  readonly payloads?: Readonly<Record<string, Any>>;
  /** Whether what was unpacked survives a power cut: syncfs(2). */
  readonly syncFs?: boolean;
  readonly scope?: DiffScope;
  /** Called with the count of compressed bytes read so far. */
  readonly progress?: (bytes: number) => void;
}

export interface DiffOptions {
  /** What the layer is to be: tar, or tar in gzip or zstd, in OCI's words or Docker's. */
  readonly mediaType: string;
  /** No file of the layer is younger than this. Equal trees give equal bytes, with it or without. */
  readonly sourceDateEpoch?: { readonly seconds: number; readonly nanoseconds: number };
  /** For a differ that stores the layer itself: under which upload, with which labels. */
  readonly ref?: string;
  readonly labels?: Labels;
  readonly scope?: DiffScope;
}

/** Where a differ puts the layer that it makes. */
export interface LayerSink {
  /** Appends; resolves when more is welcome. */
  write(data: Uint8Array): Promise<void>;
  /** Drops what was written, for a differ that has to begin anew. */
  restart(): Promise<void>;
}

/** `written`: all of it is in the sink. `stored`: the far side has put it into the content store by itself. */
export type MadeLayer =
  | { readonly kind: 'written'; readonly uncompressed: Digest }
  | { readonly kind: 'stored'; readonly layer: Descriptor };

/** Turns layers into trees, and trees into layers. Every implementation passes `core/suites/differ.ts`. */
export interface Differ {
  /**
   * Unpacks a layer (tar, gzip or zstd, told by its bytes) into what `mounts` describe and gives the descriptor of the
   * uncompressed tar, whose digest is the diffID. Verifies the compressed digest on the way. Runs in workers.
   * unimplemented for a layer that another differ may know.
   */
  apply(
    layer: Descriptor,
    blob: Blob,
    mounts: readonly Mount[],
    signal: AbortSignal,
    options?: ApplyOptions,
  ): Promise<Descriptor>;

  /**
   * Makes the layer that turns `left` into `right`; no mounts at all are an empty tree. Runs in workers, and mounts
   * only what it cannot read where it lies. unimplemented for a media type that another differ may know.
   */
  diff(
    left: readonly Mount[],
    right: readonly Mount[],
    sink: LayerSink,
    signal: AbortSignal,
    options: DiffOptions,
  ): Promise<MadeLayer>;
}
