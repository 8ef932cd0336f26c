import { ScalarType, type DescField, type DescMessage } from '@bufbuild/protobuf';
import { callersFault, HakoError } from '#base/errors.ts';

/**
 * Makes bytes from outside fit for protobuf-es, which reads a field by its number whatever its wire type says: then one
 * wrong field turns all that follows into nonsense. Go skips such a field as unknown, and so do we.
 */

const VARINT = 0;
const BIT64 = 1;
const LENGTH = 2;
const START_GROUP = 3;
const END_GROUP = 4;
const BIT32 = 5;

/** How deep groups may lie within each other, as in Go. */
const MAX_DEPTH = 10_001;

/**
 * How many fields a message may have with all that lies within it. One of 16 MiB may hold eight million empty ones, each a
 * hundred bytes of ours and a moment in which nobody else is answered.
 */
const MOST_FIELDS = 500_000;

interface Shape {
  /** Wire types in which the field may come, as bits. */
  readonly types: number;
  readonly child?: () => Shapes;
}
type Shapes = ReadonlyMap<number, Shape>;

const shapesByMessage = new WeakMap<DescMessage, Shapes>();

/**
 * The same bytes, or a copy without what the message has no room for. internal, as Go's gRPC answers, when they are no
 * message at all.
 */
export function fitting(schema: DescMessage, bytes: Uint8Array): Uint8Array {
  return clean(shapesOf(schema), new Cursor(bytes, { left: MOST_FIELDS })) ?? bytes;
}

/** Undefined when all fits. */
function clean(shapes: Shapes, cursor: Cursor): Uint8Array | undefined {
  const { bytes } = cursor;
  let pieces: Uint8Array[] | undefined;
  let kept = 0;
  while (cursor.at < bytes.length) {
    const start = cursor.at;
    const { number, type } = cursor.tag();
    const shape = shapes.get(number);
    const fits = shape !== undefined && (shape.types & (1 << type)) !== 0;
    const valueAt = cursor.skip(number, type);
    let value: Uint8Array | undefined;
    if (fits && shape.child !== undefined) value = clean(shape.child(), cursor.within(valueAt));
    if (fits && value === undefined) continue;
    pieces ??= [];
    pieces.push(bytes.subarray(kept, start));
    if (value !== undefined) pieces.push(varint((number << 3) | type), varint(value.length), value);
    kept = cursor.at;
  }
  return pieces === undefined ? undefined : Buffer.concat([...pieces, bytes.subarray(kept)]);
}

class Cursor {
  readonly bytes: Uint8Array;
  at = 0;
  /** Shared by all cursors in one message. */
  readonly #fields: { left: number };

  constructor(bytes: Uint8Array, fields: { left: number }) {
    this.bytes = bytes;
    this.#fields = fields;
  }

  /** One over the value that was just passed. */
  within(start: number): Cursor {
    return new Cursor(this.bytes.subarray(start, this.at), this.#fields);
  }

  tag(): { number: number; type: number } {
    if (this.#fields.left-- <= 0)
      throw new HakoError('resource-exhausted', `grpc: received message with more than ${MOST_FIELDS} fields`);
    const tag = this.#varint();
    const number = Math.floor(tag / 8);
    if (number === 0 || number > 0x1fff_ffff) throw malformed();
    return { number, type: tag % 8 };
  }

  /** Goes behind a value and tells where what is in it begins. */
  skip(number: number, type: number): number {
    let at = this.at;
    if (type === VARINT) this.#varint();
    else if (type === BIT64) this.at += 8;
    else if (type === BIT32) this.at += 4;
    else if (type === LENGTH) {
      const length = this.#varint();
      at = this.at;
      this.at += length;
    } else if (type === START_GROUP) this.#skipGroup(number);
    else throw malformed();
    if (this.at > this.bytes.length) throw malformed();
    return at;
  }

  #skipGroup(number: number): void {
    const open = [number];
    while (open.length > 0) {
      const inner = this.tag();
      if (inner.type === START_GROUP) open.push(inner.number);
      else if (inner.type === END_GROUP && open.pop() !== inner.number) throw malformed();
      else if (inner.type !== END_GROUP) this.skip(inner.number, inner.type);
      if (open.length > MAX_DEPTH) throw malformed();
    }
  }

  /** Exact up to 2^53, which is enough for tags and lengths; of values only the length matters. */
  #varint(): number {
    let value = 0;
    let factor = 1;
    for (let count = 0; count < 10; count++) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw malformed();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
    }
    throw malformed();
  }
}

function shapesOf(schema: DescMessage): Shapes {
  let shapes = shapesByMessage.get(schema);
  if (shapes === undefined) {
    shapes = new Map(schema.fields.map((field) => [field.number, shapeOf(field)]));
    shapesByMessage.set(schema, shapes);
  }
  return shapes;
}

function shapeOf(field: DescField): Shape {
  switch (field.fieldKind) {
    case 'message':
      return ofMessage(field.message);
    case 'list':
      if (field.listKind === 'message') return ofMessage(field.message);
      // Numbers in a row may come packed or one by one, however the field was declared.
      return { types: (1 << typeOf(field.listKind === 'enum' ? ScalarType.INT32 : field.scalar)) | (1 << LENGTH) };
    case 'map': {
      const value =
        field.mapKind === 'message'
          ? ofMessage(field.message)
          : { types: 1 << typeOf(field.mapKind === 'enum' ? ScalarType.INT32 : field.scalar) };
      const entry: Shapes = new Map([
        [1, { types: 1 << typeOf(field.mapKey) }],
        [2, value],
      ]);
      return { types: 1 << LENGTH, child: () => entry };
    }
    case 'enum':
      return { types: 1 << VARINT };
    case 'scalar':
      return { types: 1 << typeOf(field.scalar) };
  }
}

// Asked for when it is needed, since a message may be in itself.
const ofMessage = (schema: DescMessage): Shape => ({ types: 1 << LENGTH, child: () => shapesOf(schema) });

function typeOf(scalar: ScalarType): number {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return LENGTH;
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return BIT64;
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return BIT32;
    default:
      return VARINT;
  }
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

export const malformed = (): HakoError =>
  new HakoError(
    'internal',
    'grpc: error unmarshalling request: proto: cannot parse invalid wire-format data',
    callersFault,
  );
