import { createHash } from 'node:crypto';
import { formatDigest } from '#base/digest.ts';
import { serveThread } from '#base/threads.ts';
import { closeFd, type Moment } from '#sys/at.ts';
import { Comparison, NeedsMount, type Trees } from './compare.ts';
import { Encoder } from './encoder.ts';
import { LayerWriter } from './layer-writer.ts';
import { RingFiller, slotSize, type RingMemory } from './ring.ts';

/** Compares two trees and writes the difference into the ring: an archive, compressed if asked. */

export interface DiffWorkRequest {
  readonly trees: Trees;
  readonly compression: 'gzip' | 'zstd' | 'none';
  readonly latest: Moment | undefined;
  readonly ring: RingMemory;
}

/** `mount`: only a mounted overlay can tell what changed; what is in the ring is worth nothing. */
export type DiffWorkResult =
  | { readonly kind: 'made'; readonly uncompressed: string }
  | { readonly kind: 'mount'; readonly why: string };

/** Fills slot after slot. */
class RingOut {
  readonly #ring: RingFiller;
  readonly #check: () => void;
  #slot: Buffer | undefined;
  #filled = 0;

  constructor(ring: RingFiller, check: () => void) {
    this.#ring = ring;
    this.#check = check;
  }

  write(bytes: Buffer): void {
    for (let rest = bytes; rest.length > 0;) {
      this.#slot ??= this.#ring.next(this.#check);
      // Nobody drains a ring that a differ fills: it is wanted whole, or halted.
      const copied = rest.copy(this.#slot!, this.#filled);
      this.#filled += copied;
      rest = rest.subarray(copied);
      if (this.#filled === slotSize) this.flush();
    }
  }

  flush(): void {
    if (this.#filled > 0) this.#ring.publish(this.#filled);
    this.#slot = undefined;
    this.#filled = 0;
  }
}

function makeLayer(request: DiffWorkRequest, ring: RingOut, check: () => void): string {
  const hash = createHash('sha256');
  const write = (bytes: Buffer): void => ring.write(bytes);
  const encoder = request.compression === 'none' ? undefined : new Encoder(request.compression, write);
  const root = Comparison.rightOf(request.trees);
  try {
    const out = (bytes: Buffer): void => {
      hash.update(bytes);
      if (encoder === undefined) ring.write(bytes);
      else encoder.write(bytes);
    };
    const writer = new LayerWriter({ root, latest: request.latest, out, check });
    new Comparison(request.trees, writer, check).run(root);
    writer.finish();
    encoder?.finish();
    ring.flush();
    return formatDigest(hash);
  } finally {
    closeFd(root);
    encoder?.close();
  }
}

serveThread((request: DiffWorkRequest, check): DiffWorkResult => {
  const filler = new RingFiller(request.ring);
  try {
    const uncompressed = makeLayer(request, new RingOut(filler, check), check);
    filler.end(true);
    return { kind: 'made', uncompressed };
  } catch (error) {
    filler.end(false);
    if (error instanceof NeedsMount) return { kind: 'mount', why: error.message };
    throw error;
  }
});
