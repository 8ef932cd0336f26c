import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import type { AnyWords } from '../spec/spec-json.ts';

/** A message as an Any with the bare type name, as containerd writes it. */
export const packAny = <M extends DescMessage>(schema: M, message: MessageInitShape<M>): AnyWords => ({
  typeUrl: schema.typeName,
  value: toBinary(schema, create(schema, message)),
});

/** What is in an Any of that type; undefined when it holds something else. The type may be named with or without a host. */
export function unpackAny<M extends DescMessage>(schema: M, any: AnyWords | undefined): MessageShape<M> | undefined {
  if (any === undefined || any.typeUrl.slice(any.typeUrl.lastIndexOf('/') + 1) !== schema.typeName) return undefined;
  return fromBinary(schema, any.value);
}
