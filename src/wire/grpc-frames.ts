import { HakoError } from '#base/errors.ts';

/** Largest message taken or sent, in bytes: what containerd's clients and server agree on. */
export const maxMessage = 16 * 1024 * 1024;

/** A message after its prefix: one byte that says whether it is compressed, four bytes of length, big-endian. */
const prefix = 5;

/** Payloads from this size on are written beside their prefix instead of being copied behind it. */
const copyBelow = 16 * 1024;

/** The pieces to write for one message. */
export function frameOf(payload: Uint8Array): Uint8Array[] {
  if (payload.length >= copyBelow) {
    const head = Buffer.alloc(prefix);
    head.writeUInt32BE(payload.length, 1);
    return [head, payload];
  }
  const frame = Buffer.allocUnsafe(prefix + payload.length);
  frame[0] = 0;
  frame.writeUInt32BE(payload.length, 1);
  frame.set(payload, prefix);
  return [frame];
}

/**
 * Cuts a byte stream into messages. Throws resource-exhausted when one is too large and unimplemented when one is
 * compressed, both before its bytes are collected.
 */
export class FrameReader {
  readonly #limit: number;
  #chunks: Buffer[] = [];
  #held = 0;

  constructor(limit: number = maxMessage) {
    this.#limit = limit;
  }

  /** True when the bytes so far end at a message's end. */
  get whole(): boolean {
    return this.#held === 0;
  }

  /** Takes a chunk and gives the messages that it completes. They may share the chunk's memory. */
  push(chunk: Buffer): Buffer[] {
    // Most calls come as one chunk with one message: nothing to collect then.
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    const messages: Buffer[] = [];
    while (this.#held >= prefix) {
      const length = this.#length();
      if (this.#held < prefix + length) break;
      const all = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
      messages.push(all.subarray(prefix, prefix + length));
      const rest = all.subarray(prefix + length);
      this.#chunks = rest.length === 0 ? [] : [rest];
      this.#held = rest.length;
    }
    return messages;
  }

  /** The length of the message at the front, checked. At least five bytes are held. */
  #length(): number {
    let head = this.#chunks[0] as Buffer;
    if (head.length < prefix) {
      head = Buffer.concat(this.#chunks);
      this.#chunks = [head];
    }
    if (head[0] !== 0) {
      throw new HakoError(
        'unimplemented',
        'the message is compressed, which is not supported here; send it as it is (identity)',
      );
    }
    const length = head.readUInt32BE(1);
    if (length > this.#limit) {
      throw new HakoError('resource-exhausted', `the message has ${length} bytes; at most ${this.#limit} are taken`);
    }
    return length;
  }
}
