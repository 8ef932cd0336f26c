import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { AnySchema, timestampDate } from '@bufbuild/protobuf/wkt';
import type { Event } from '#core/events.ts';
import type { Envelope, EnvelopeSchema } from '#proto/gen/containerd/types/event_pb.ts';
import { fromAny, toAny, toTimestamp } from './convert.ts';
import { eventAny } from './event-any.ts';

/** An event as its subscribers get it. */
export function toEnvelope(event: Event): MessageInitShape<typeof EnvelopeSchema> {
  const timestamp = toTimestamp(event.timestamp);
  timestamp.nanos += event.nanos ?? 0;
  return { timestamp, namespace: event.namespace, topic: event.topic, event: toAny(eventAny(event.payload)) };
}

/** An event that someone else stamped. As in containerd a time that is missing is that of 1970; Go's zero time is refused later. */
export function fromEnvelope({ timestamp, namespace, topic, event }: Envelope): Event {
  const at = timestamp === undefined ? new Date(0) : timestampDate(timestamp);
  const nanos = (timestamp?.nanos ?? 0) % 1e6;
  return { timestamp: at, nanos, namespace, topic, payload: { kind: 'any', any: fromAny(event ?? create(AnySchema)) } };
}
