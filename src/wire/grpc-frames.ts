import { callersFault, HakoError } from '#base/errors.ts';
import { Chunks } from './grpc-chunks.ts';

/** Largest message taken or sent, in bytes: what containerd's clients and server agree on. */
export const maxMessage = 16 * 1024 * 1024;

/** A message after its prefix: one byte that says whether it is compressed, four bytes of length, big-endian. */
const prefix = 5;

/** Payloads from this size on are written beside their prefix instead of being copied behind it. */
const copyBelow = 16 * 1024;

/** A message as it came. */
export interface Received {
  readonly payload: Buffer;
  readonly compressed: boolean;
}

/** What stands before a message of so many bytes. */
export function prefixOf(length: number, compressed: boolean): Buffer {
  const head = Buffer.alloc(prefix);
  head[0] = compressed ? 1 : 0;
  head.writeUInt32BE(length, 1);
  return head;
}

/** The pieces to write for one message. */
export function frameOf(payload: Uint8Array, compressed = false): Uint8Array[] {
  const flag = compressed ? 1 : 0;
  if (payload.length >= copyBelow) return [prefixOf(payload.length, compressed), payload];
  const frame = Buffer.allocUnsafe(prefix + payload.length);
  frame[0] = flag;
  frame.writeUInt32BE(payload.length, 1);
  frame.set(payload, prefix);
  return [frame];
}

/** What a reader takes. Errors have the words of gRPC's Go library, which clients know. */
export interface FrameLimits {
  readonly maxMessage: number;
  /** Whether both sides have agreed on how messages may be compressed. */
  readonly compressed: boolean;
}

/** Cuts a byte stream into messages. Throws before the bytes of a message that is refused are collected. */
export class FrameReader {
  readonly #limits: FrameLimits;
  readonly #held = new Chunks();

  constructor(limits: Partial<FrameLimits> = {}) {
    this.#limits = { maxMessage, compressed: false, ...limits };
  }

  /** How many bytes of a message are here whose rest is not; 0 when they end at a message's end. */
  get held(): number {
    return this.#held.length;
  }

  /** Gives up what is held, for one who reads no further. */
  forget(): void {
    this.#held.keep(Buffer.alloc(0));
  }

  /** Takes a chunk and gives the messages that it completes. They may share the chunk's memory. */
  push(chunk: Buffer): Received[] {
    this.#held.add(chunk);
    const messages: Received[] = [];
    while (this.#held.length >= prefix) {
      const { length, compressed } = this.#head();
      if (this.#held.length < prefix + length) break;
      const all = this.#held.whole();
      messages.push({ payload: all.subarray(prefix, prefix + length), compressed });
      this.#held.keep(all.subarray(prefix + length));
    }
    return messages;
  }

  /** The prefix at the front, checked. At least five bytes are held. */
  #head(): { length: number; compressed: boolean } {
    const head = this.#held.front(prefix);
    const flag = head[0] as number;
    const limit = this.#limits.maxMessage;
    const length = head.readUInt32BE(1);
    if (length > limit)
      throw new HakoError('resource-exhausted', `grpc: received message larger than max (${length} vs. ${limit})`);
    if (flag > 1) throw broken(`grpc: received unexpected payload format ${flag}`);
    if (flag === 1 && !this.#limits.compressed)
      throw broken('grpc: compressed flag set with identity or empty encoding');
    return { length, compressed: flag === 1 };
  }
}

const broken = (message: string): HakoError => new HakoError('internal', message, callersFault);
