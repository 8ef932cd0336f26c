import type { Blob } from './content.ts';
import type { Descriptor } from './images.ts';
import type { Mount } from './mounts.ts';

/** Turns layers into trees. Every implementation passes `core/suites/differ.ts`. */
export interface Differ {
  /**
   * Unpacks a layer (tar, gzip or zstd, told by its bytes) into what `mounts` describe and gives the descriptor of the
   * uncompressed tar, whose digest is the diffID. Verifies the compressed digest on the way. Runs in workers.
   * Calls `progress` with the count of compressed bytes read so far.
   */
  apply(
    layer: Descriptor,
    blob: Blob,
    mounts: readonly Mount[],
    signal: AbortSignal,
    progress?: (bytes: number) => void,
  ): Promise<Descriptor>;
}
