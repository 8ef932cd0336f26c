import type { DescMessage } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import * as container from '#proto/gen/containerd/events/container_pb.ts';
import * as content from '#proto/gen/containerd/events/content_pb.ts';
import * as image from '#proto/gen/containerd/events/image_pb.ts';
import * as namespace from '#proto/gen/containerd/events/namespace_pb.ts';
import * as sandbox from '#proto/gen/containerd/events/sandbox_pb.ts';
import * as snapshot from '#proto/gen/containerd/events/snapshot_pb.ts';
import * as task from '#proto/gen/containerd/events/task_pb.ts';
import { Events } from '#proto/gen/containerd/services/events/v1/events_pb.ts';
import type { Envelope } from '#proto/gen/containerd/types/event_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import type { Containerd } from '../containerd.ts';
import { plainBytes } from './plain-message.ts';

export type { Envelope };

export const events = (door: Containerd): Client<typeof Events> => door.service(Events);

const files = [
  container.file_containerd_events_container,
  content.file_containerd_events_content,
  image.file_containerd_events_image,
  namespace.file_containerd_events_namespace,
  sandbox.file_containerd_events_sandbox,
  snapshot.file_containerd_events_snapshot,
  task.file_containerd_events_task,
];

const schemas: ReadonlyMap<string, DescMessage> = new Map(
  files.flatMap((file) => file.messages).map((message) => [message.typeName, message]),
);

/** What an event says, as `ctr` prints it; undefined for a type that we do not know, or what is none of that type. */
export function plainEvent(event: Any | undefined): Record<string, unknown> | undefined {
  if (event === undefined) return undefined;
  // Most clients leave out the host before the name; some do not.
  const schema = schemas.get(event.typeUrl.slice(event.typeUrl.lastIndexOf('/') + 1));
  if (schema === undefined) return undefined;
  try {
    return plainBytes(schema, event.value);
  } catch {
    return undefined;
  }
}
