import { fromBinary, isMessage, type DescField, type DescMessage, type Message } from '@bufbuild/protobuf';

type Fields = Readonly<Record<string, unknown>>;

/**
 * A message as Go's JSON has its structs: fields by their name in the .proto file and in its order, what is empty left
 * out, numbers as numbers, bytes in base64, enumerations by number.
 */
export function plainMessage(schema: DescMessage, message: Message): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  for (const field of schema.fields) {
    const value = plainField(field, (message as unknown as Fields)[field.localName]);
    if (value !== undefined) plain[field.name] = value;
  }
  return plain;
}

/** Reads the bytes of a message of that type, and gives them as `plainMessage` does. */
export const plainBytes = (schema: DescMessage, bytes: Uint8Array): Record<string, unknown> =>
  plainMessage(schema, fromBinary(schema, bytes));

function plainField(field: DescField, value: unknown): unknown {
  switch (field.fieldKind) {
    case 'list':
      return (value as unknown[]).length === 0 ? undefined : (value as unknown[]).map((one) => plainValue(field, one));
    case 'map': {
      const entries = Object.entries(value as Fields).sort(([a], [b]) => (a < b ? -1 : 1));
      return entries.length === 0
        ? undefined
        : Object.fromEntries(entries.map(([key, one]) => [key, plainValue(field, one)]));
    }
    default:
      return isEmpty(value) ? undefined : plainValue(field, value);
  }
}

const isEmpty = (value: unknown): boolean =>
  value === undefined ||
  value === '' ||
  value === 0 ||
  value === 0n ||
  value === false ||
  (value instanceof Uint8Array && value.length === 0);

function plainValue(field: DescField, value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (field.message !== undefined && isMessage(value)) return plainMessage(field.message, value);
  return value;
}
