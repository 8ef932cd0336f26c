import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { formatDigest, parseDigest } from '#base/digest.ts';
import { HakoError, messageOf } from '#base/errors.ts';
import { serveThread } from '#base/threads.ts';
import { compressionOf, Decoder } from './decoder.ts';
import { RingFiller, slotSize, type RingMemory } from './ring.ts';

/** Reads a layer from disk, hashes it, inflates it into the ring and hashes that too. */

export interface InflateRequest {
  readonly path: string;
  /** The digest the layer should have; it chooses the algorithm. */
  readonly digest: string;
  readonly ring: RingMemory;
}

export interface Inflated {
  readonly compressed: { readonly digest: string; readonly size: number };
  readonly tar: { readonly digest: string; readonly size: number };
  /** Why it could not be inflated; the compressed digest holds all the same. */
  readonly problem?: string;
}

class Inflation {
  readonly #fd: number;
  readonly #ring: RingFiller;
  readonly #check: () => void;
  readonly #compressedHash;
  readonly #tarHash = createHash('sha256');
  readonly #digest: string;
  /** What was read to tell the compression, until it is taken. */
  #head = Buffer.alloc(0);
  #read = 0;
  #wrote = 0;
  #slot: Buffer | undefined;
  #filled = 0;

  constructor(fd: number, request: InflateRequest, check: () => void) {
    this.#fd = fd;
    this.#ring = new RingFiller(request.ring);
    this.#check = check;
    this.#digest = request.digest;
    this.#compressedHash = createHash(parseDigest(request.digest).algorithm);
  }

  run(): Inflated {
    this.#look();
    let problem: string | undefined;
    try {
      const compression = compressionOf(this.#head);
      if (compression === 'none') this.#copy();
      else this.#inflate(new Decoder(compression));
      this.#publish();
      this.#ring.end(true);
    } catch (error) {
      this.#ring.end(false);
      // What cannot be inflated may be a bad layer or a damaged one: the rest is read for its digest to tell.
      if (!(error instanceof HakoError) || error.code !== 'invalid-argument') throw error;
      problem = messageOf(error);
    }
    this.#drain();
    const { algorithm } = parseDigest(this.#digest);
    return {
      compressed: { digest: formatDigest(this.#compressedHash, algorithm), size: this.#read },
      tar: { digest: formatDigest(this.#tarHash), size: this.#wrote },
      ...(problem === undefined ? {} : { problem }),
    };
  }

  /** The first bytes, which are only seen once: the source may be a pipe. */
  #look(): void {
    const head = Buffer.alloc(6);
    let length = 0;
    for (let more = -1; more !== 0 && length < head.length; length += more)
      more = readSync(this.#fd, head, length, head.length - length, null);
    this.#head = head.subarray(0, length);
  }

  /** Reads on into `buffer`; 0 at the end. */
  #take(buffer: Buffer): number {
    this.#check();
    let length = this.#head.copy(buffer);
    this.#head = this.#head.subarray(length);
    if (length === 0) length = readSync(this.#fd, buffer, 0, buffer.length, null);
    if (length > 0) this.#compressedHash.update(buffer.subarray(0, length));
    this.#read += length;
    this.#ring.moveTo(this.#read);
    return length;
  }

  #drain(): void {
    const buffer = Buffer.allocUnsafeSlow(slotSize);
    while (this.#take(buffer) > 0) this.#ring.wanted();
  }

  /** What is free of the slot being filled; undefined when nobody wants it. */
  #room(): Buffer | undefined {
    if (this.#slot !== undefined && this.#filled === slotSize) this.#publish();
    this.#slot ??= this.#ring.next(this.#check);
    return this.#slot?.subarray(this.#filled);
  }

  #publish(): void {
    const slot = this.#slot;
    if (slot === undefined || this.#filled === 0) return;
    const length = this.#filled;
    this.#slot = undefined;
    this.#filled = 0;
    // The other side may have it at once: it only reads, and only we fill it again, when the hash is done.
    this.#ring.publish(length);
    this.#tarHash.update(slot.subarray(0, length));
    this.#wrote += length;
  }

  #copy(): void {
    for (let room = this.#room(); room !== undefined; room = this.#room()) {
      const length = this.#take(room);
      if (length === 0) return;
      this.#filled += length;
    }
  }

  #inflate(decoder: Decoder): void {
    try {
      const buffer = Buffer.allocUnsafeSlow(slotSize);
      for (let length = this.#take(buffer); length > 0; length = this.#take(buffer)) {
        if (!this.#feed(decoder, buffer.subarray(0, length))) return;
      }
      for (let room = this.#room(); room !== undefined; room = this.#room()) {
        const { wrote } = decoder.finish(room);
        this.#filled += wrote;
        if (wrote < room.length) return;
      }
    } finally {
      decoder.close();
    }
  }

  /** False when the bytes are not wanted. */
  #feed(decoder: Decoder, input: Buffer): boolean {
    let rest = input;
    for (;;) {
      const room = this.#room();
      if (room === undefined) return false;
      const { read, wrote } = decoder.step(rest, room);
      this.#filled += wrote;
      const full = wrote === room.length;
      if (read === 0 && wrote === 0 && rest.length > 0) {
        // After the last member, gzip files may be padded with zeros.
        if (rest.some((byte) => byte !== 0))
          throw new HakoError('invalid-argument', 'garbage after the compressed data');
        return true;
      }
      rest = rest.subarray(read);
      if (rest.length === 0 && !full) return true;
    }
  }
}

serveThread((request: InflateRequest, check): Inflated => {
  const fd = openSync(request.path, 'r');
  try {
    return new Inflation(fd, request, check).run();
  } finally {
    closeSync(fd);
  }
});
