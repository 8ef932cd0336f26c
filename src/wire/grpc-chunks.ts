/** Chunks below this are copied: each is otherwise an object of its own, and keeps the whole read alive that it came in. */
const small = 16 * 1024;
const roomSize = 64 * 1024;

/** Bytes in the order in which they came, at little more cost than they have themselves, however small the pieces. */
export class Chunks {
  #chunks: Buffer[] = [];
  #length = 0;
  /** What the last chunk is the front of, when it is a copy of ours that has room left. */
  #room: Buffer | undefined;

  get length(): number {
    return this.#length;
  }

  add(chunk: Buffer): void {
    this.#length += chunk.length;
    // What comes first is mostly a whole message, and gone in a moment.
    if (this.#chunks.length === 0 || chunk.length >= small) {
      this.#chunks.push(chunk);
      this.#room = undefined;
      return;
    }
    const last = this.#chunks.at(-1)!;
    if (this.#room !== undefined && last.length + chunk.length <= this.#room.length) {
      this.#room.set(chunk, last.length);
      this.#chunks[this.#chunks.length - 1] = this.#room.subarray(0, last.length + chunk.length);
      return;
    }
    this.#room = Buffer.allocUnsafeSlow(roomSize);
    this.#room.set(chunk);
    this.#chunks.push(this.#room.subarray(0, chunk.length));
  }

  /** At least the first `count` bytes, or all there are. */
  front(count: number): Buffer {
    const [first] = this.#chunks;
    return first !== undefined && first.length >= count ? first : this.whole();
  }

  whole(): Buffer {
    if (this.#chunks.length !== 1) {
      this.#chunks = [Buffer.concat(this.#chunks)];
      this.#room = undefined;
    }
    return this.#chunks[0]!;
  }

  /** Forgets all but what is given. */
  keep(rest: Buffer): void {
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#length = rest.length;
    this.#room = undefined;
  }
}
