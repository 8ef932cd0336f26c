import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { codeless } from '#base/errors.ts';
import type { Any } from '#core/any.ts';

/** A message as containerd's clients want it in an Any: its type's bare name stands for a URL. */
export const packed = <S extends DescMessage>(schema: S, message: MessageInitShape<S>): Any => ({
  typeUrl: schema.typeName,
  value: toBinary(schema, create(schema, message)),
});

/** The name of the message, whatever host stands before it. */
export const typeOf = ({ typeUrl }: Pick<Any, 'typeUrl'>): string => typeUrl.slice(typeUrl.lastIndexOf('/') + 1);

/** Whether containerd would know what that is, even where it does not belong. */
export const isKnown = (any: Pick<Any, 'typeUrl'>): boolean => /^(?:containerd|google\.protobuf)\./.test(typeOf(any));

/** The message in an Any that has to be of that type. Refuses in containerd's words. */
export function unpacked<S extends DescMessage>(schema: S, any: Any): MessageShape<S> {
  if (typeOf(any) !== schema.typeName) {
    if (!isKnown(any)) throw codeless(`type with url ${any.typeUrl}: not found`);
    throw codeless(`can't unmarshal type "${any.typeUrl}" to output "${schema.typeName}"`);
  }
  try {
    return fromBinary(schema, any.value);
  } catch {
    throw codeless('proto: cannot parse invalid wire-format data');
  }
}
