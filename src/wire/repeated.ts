import { create, toBinary, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** A reply that is in its wire form already. */
export class EncodedReply {
  /** In order; together they are the message. */
  readonly pieces: readonly Uint8Array[];
  readonly length: number;

  constructor(pieces: readonly Uint8Array[]) {
    this.pieces = pieces;
    this.length = pieces.reduce((sum, { length }) => sum + length, 0);
  }

  /** Frees the bytes, once they are sent: the collector of garbage may take its time, and megabytes would wait for it. */
  release(): void {
    for (const { buffer } of this.pieces) (buffer as ArrayBuffer).transfer(0);
  }
}

/** Of a number of 32 bits. */
const LONGEST_VARINT = 5;

/** Bytes of a piece: large enough that few are needed, and too large for the heap that is swept all the time. */
const PIECE = 128 * 1024;

/**
 * A message whose one field is a list, each item encoded as it comes: ten thousand items are never in memory as objects at
 * once. The bytes are those that the whole message would have. An item may come encoded already.
 */
export function repeated<S extends DescMessage, I extends DescMessage>(
  schema: S,
  field: string & keyof S['field'],
  itemSchema: I,
  items: Iterable<MessageInitShape<I> | Uint8Array>,
): EncodedReply {
  const described = schema.field[field];
  if (described?.fieldKind !== 'list' || described.message?.typeName !== itemSchema.typeName)
    throw new TypeError(`${schema.typeName}.${field} is no list of ${itemSchema.typeName}`);
  const tag = new BinaryWriter().tag(described.number, WireType.LengthDelimited).finish();
  const pieces = new Pieces();
  for (const item of items) {
    const bytes = item instanceof Uint8Array ? item : toBinary(itemSchema, create(itemSchema, item));
    pieces.add(tag, bytes);
  }
  return new EncodedReply(pieces.finish());
}

/** Copies what is short-lived into few buffers that are not. */
class Pieces {
  readonly #full: Uint8Array[] = [];
  #piece = Buffer.allocUnsafeSlow(PIECE);
  #used = 0;

  /** Adds a tag, a length, and so many bytes. */
  add(tag: Uint8Array, bytes: Uint8Array): void {
    const most = tag.length + LONGEST_VARINT + bytes.length;
    if (most > this.#piece.length - this.#used) {
      this.#full.push(this.#piece.subarray(0, this.#used));
      this.#piece = Buffer.allocUnsafeSlow(Math.max(PIECE, most));
      this.#used = 0;
    }
    this.#piece.set(tag, this.#used);
    this.#used += tag.length;
    this.#varint(bytes.length);
    this.#piece.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest > 0x7f; rest >>>= 7) this.#piece[this.#used++] = (rest & 0x7f) | 0x80;
    this.#piece[this.#used++] = rest;
  }

  finish(): Uint8Array[] {
    return [...this.#full, this.#piece.subarray(0, this.#used)].filter(({ length }) => length > 0);
  }
}
