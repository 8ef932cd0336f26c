import { create, toBinary, type DescField, type DescMessage, type Message } from '@bufbuild/protobuf';
import { HakoError } from '#base/errors.ts';
import type { Any } from '#core/any.ts';
import type { EventPayload } from '#core/events.ts';
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

/** An event as it travels. containerd's type URLs are bare names, without a host before them. */
export function eventAny(payload: EventPayload): Any {
  if (payload.kind === 'any') return payload.any;
  const schema = schemas.get(payload.type);
  if (schema === undefined) throw new HakoError('internal', `event "${payload.type}" has no message`);
  return { typeUrl: schema.typeName, value: toBinary(schema, messageOf(schema, payload.fields)) };
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

const is64Bit = (field: DescField & { fieldKind: 'scalar' }): boolean => typeof field.getDefaultValue() === 'bigint';
