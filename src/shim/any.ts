import { create, toBinary, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';

/** A message as an Any with the bare type name, as containerd writes it. */
export const packAny = <M extends DescMessage>(
  schema: M,
  message: MessageInitShape<M>,
): { typeUrl: string; value: Uint8Array } => ({
  typeUrl: schema.typeName,
  value: toBinary(schema, create(schema, message)),
});
