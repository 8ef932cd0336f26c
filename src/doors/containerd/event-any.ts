import { create, fromBinary, toBinary, type DescField, type DescMessage, type Message } from '@bufbuild/protobuf';
import { HakoError } from '#base/errors.ts';
import type { Any } from '#core/any.ts';
import { labelField } from '#base/filters.ts';
import type { EventCodec, EventPayload } from '#core/events.ts';
import * as container from '#proto/gen/containerd/events/container_pb.ts';
import * as content from '#proto/gen/containerd/events/content_pb.ts';
import * as image from '#proto/gen/containerd/events/image_pb.ts';
import * as namespace from '#proto/gen/containerd/events/namespace_pb.ts';
import * as sandbox from '#proto/gen/containerd/events/sandbox_pb.ts';
import * as snapshot from '#proto/gen/containerd/events/snapshot_pb.ts';
import * as task from '#proto/gen/containerd/events/task_pb.ts';
import { toTimestamp } from './convert.ts';

const files = [
  container.file_containerd_events_container,
  content.file_containerd_events_content,
  image.file_containerd_events_image,
  namespace.file_containerd_events_namespace,
  sandbox.file_containerd_events_sandbox,
  snapshot.file_containerd_events_snapshot,
  task.file_containerd_events_task,
];

/** By their short name, since images' events live in another package than all others. */
const schemas: ReadonlyMap<string, DescMessage> = new Map(
  files.flatMap((file) => file.messages).map((message) => [message.name, message]),
);

/** By the name that their type URLs carry. */
const schemasByType: ReadonlyMap<string, DescMessage> = new Map(
  [...schemas.values()].map((schema) => [schema.typeName, schema]),
);

/** An event as it travels. containerd's type URLs are bare names, without a host before them. */
export function eventAny(payload: EventPayload): Any {
  if (payload.kind === 'any') return payload.any;
  const schema = schemas.get(payload.type);
  if (schema === undefined) throw new HakoError('internal', `event "${payload.type}" has no message`);
  return { typeUrl: schema.typeName, value: toBinary(schema, messageOf(schema, payload.fields)) };
}

/** Fields are seen as by containerd: strings, truth values, labels, and what is in messages; numbers and times are not. */
export function eventField(payload: EventPayload, path: readonly string[]): string | undefined {
  if (payload.kind === 'any') {
    const message = decoded(payload.any);
    return message === undefined ? undefined : fieldOf(message.schema, message.fields, path);
  }
  const schema = schemas.get(payload.type);
  return schema === undefined ? undefined : fieldOf(schema, payload.fields, path);
}

export const eventCodec: EventCodec = { encode: eventAny, field: eventField };

interface Decoded {
  readonly schema: DescMessage;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Several filters look at the same event. */
const seen = new WeakMap<Any, Decoded | 'unknown'>();

function decoded(any: Any): Decoded | undefined {
  let found = seen.get(any);
  if (found === undefined) {
    found = decode(any) ?? 'unknown';
    seen.set(any, found);
  }
  return found === 'unknown' ? undefined : found;
}

/** Undefined for a type that nobody knows here, and for bytes that are not of the type. */
function decode({ typeUrl, value }: Any): Decoded | undefined {
  const schema = schemasByType.get(typeUrl.slice(typeUrl.lastIndexOf('/') + 1));
  if (schema === undefined) return undefined;
  try {
    return { schema, fields: fromBinary(schema, value) as unknown as Decoded['fields'] };
  } catch {
    return undefined;
  }
}

function fieldOf(
  schema: DescMessage,
  fields: Readonly<Record<string, unknown>>,
  [first, ...rest]: readonly string[],
): string | undefined {
  const field = schema.fields.find(({ name }) => name === first);
  if (field === undefined) return undefined;
  const value = fields[field.jsonName] ?? fields[field.localName] ?? defaultOf(field);
  if (value === undefined || value === null) return undefined;
  if (field.fieldKind === 'map') return labelField(value as Readonly<Record<string, string>>, rest);
  if (field.fieldKind === 'message' && field.message.typeName.startsWith('google.')) return undefined;
  if (field.fieldKind === 'message') return fieldOf(field.message, value as Decoded['fields'], rest);
  if (typeof value === 'boolean') return String(value);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** A message from plain data: dates become timestamps, numbers 64 bit ones where the field wants them. */
function messageOf(schema: DescMessage, fields: Readonly<Record<string, unknown>>): Message {
  const init: Record<string, unknown> = {};
  for (const field of schema.fields) {
    const value = fields[field.jsonName];
    if (value !== undefined && value !== null) init[field.localName] = valueOf(field, value);
  }
  return create(schema, init as never);
}

function valueOf(field: DescField, value: unknown): unknown {
  if (field.fieldKind === 'message') return partOf(field.message, value);
  if (field.fieldKind === 'list' && field.listKind === 'message') {
    return (value as unknown[]).map((item) => partOf(field.message, item));
  }
  return field.fieldKind === 'scalar' && is64Bit(field) ? BigInt(value as number) : value;
}

function partOf(schema: DescMessage, value: unknown): unknown {
  if (schema.typeName === 'google.protobuf.Timestamp') return toTimestamp(new Date(value as Date | string));
  return messageOf(schema, value as Readonly<Record<string, unknown>>);
}

const defaultOf = (field: DescField): unknown => (field.fieldKind === 'scalar' ? field.getDefaultValue() : undefined);

const is64Bit = (field: DescField & { fieldKind: 'scalar' }): boolean => typeof field.getDefaultValue() === 'bigint';
