import { HakoError } from '#base/errors.ts';

const block = 512;
/** Two empty blocks end an archive (pax(1), "ustar Interchange Format"). */
const endBytes = 2 * block;
/** How long an archive that looks finished must stay as it is, and how long one that does not may take to go on. */
const settled = 100;
const stalled = 10_000;

/**
 * Tells when a tar archive that is received is whole. containerd does not end the stream of an export, so that its end
 * has to be seen in the archive itself.
 */
export class TarTail {
  #bytes = 0;
  #zeros = 0;
  #last = Date.now();

  push(piece: Uint8Array): void {
    this.#last = Date.now();
    this.#bytes += piece.length;
    let zeros = 0;
    while (zeros < piece.length && zeros < endBytes && piece[piece.length - 1 - zeros] === 0) zeros += 1;
    this.#zeros = zeros === piece.length ? this.#zeros + zeros : zeros;
  }

  get whole(): boolean {
    return this.#bytes % block === 0 && this.#zeros >= endBytes;
  }

  /** Resolves when the archive is whole and nothing more comes; data-loss when it stops before that. */
  async ended(): Promise<void> {
    for (;;) {
      const still = Date.now() - this.#last;
      if (this.whole && still >= settled) return;
      if (still >= stalled) throw new HakoError('data-loss', 'the daemon stopped in the middle of the archive');
      await new Promise((resolve) => setTimeout(resolve, settled / 4).unref());
    }
  }
}
