import { create, toBinary, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** A reply that is in its wire form already. */
export class EncodedReply {
  readonly payload: Uint8Array;

  constructor(payload: Uint8Array) {
    this.payload = payload;
  }
}

/**
 * A message whose one field is a list, each item encoded as it comes: ten thousand items are never in memory as objects at
 * once. The bytes are those that the whole message would have.
 */
export function repeated<S extends DescMessage, I extends DescMessage>(
  schema: S,
  field: string & keyof S['field'],
  itemSchema: I,
  items: Iterable<MessageInitShape<I>>,
): EncodedReply {
  const described = schema.field[field];
  if (described?.fieldKind !== 'list' || described.message?.typeName !== itemSchema.typeName)
    throw new TypeError(`${schema.typeName}.${field} is no list of ${itemSchema.typeName}`);
  const writer = new BinaryWriter();
  for (const item of items) {
    writer.tag(described.number, WireType.LengthDelimited);
    writer.bytes(toBinary(itemSchema, create(itemSchema, item)));
  }
  return new EncodedReply(writer.finish());
}
