import { serveThread } from '#base/threads.ts';
import { codeOf } from '#base/errors.ts';
import { RingEmptier, type RingMemory } from './ring.ts';
import { TarReader, type TarSource } from './tar.ts';
import type { Target } from './directories.ts';
import { TargetTree } from './target.ts';
import { Unpacker } from './unpack.ts';

/** Takes a tar archive out of the ring and unpacks it. */

export interface UntarRequest {
  readonly ring: RingMemory;
  readonly target: Target;
}

class RingSource implements TarSource {
  readonly #ring: RingEmptier;
  readonly #check: () => void;
  #slot: Buffer | undefined;
  #at = 0;

  constructor(ring: RingEmptier, check: () => void) {
    this.#ring = ring;
    this.#check = check;
  }

  take(length: number): Buffer | undefined {
    if (this.#slot === undefined || this.#at === this.#slot.length) {
      this.#slot = this.#ring.next(this.#check);
      this.#at = 0;
      if (this.#slot === undefined) return undefined;
    }
    const piece = this.#slot.subarray(this.#at, this.#at + length);
    this.#at += piece.length;
    return piece;
  }

  /** What follows the archive's end is read, since the digests are of all bytes. */
  drain(): void {
    while (this.#ring.next(this.#check) !== undefined);
  }
}

serveThread(({ ring, target }: UntarRequest, check): void => {
  const emptier = new RingEmptier(ring);
  try {
    const source = new RingSource(emptier, check);
    const tree = new TargetTree(target, check);
    try {
      new Unpacker(tree, new TarReader(source)).run(check);
    } finally {
      tree.close();
    }
    source.drain();
  } catch (error) {
    // A source that failed reads on by itself, to tell whether it is bad or damaged: nobody halts it.
    emptier.refuse(['invalid-argument', 'aborted'].includes(codeOf(error)));
    throw error;
  }
});
