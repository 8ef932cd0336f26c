import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { invalid } from '#base/errors.ts';
import type { Event } from '#core/events.ts';
import type { Envelope, EnvelopeSchema } from '#proto/gen/containerd/types/event_pb.ts';
import { fromAny, fromTimestamp, toAny, toTimestamp } from './convert.ts';
import { eventAny } from './event-any.ts';

/** An event as its subscribers get it. */
export function toEnvelope(event: Event): MessageInitShape<typeof EnvelopeSchema> {
  const timestamp = toTimestamp(event.timestamp);
  timestamp.nanos += event.nanos ?? 0;
  return { timestamp, namespace: event.namespace, topic: event.topic, event: toAny(eventAny(event.payload)) };
}

/** An event that someone else stamped. One without its time is refused. */
export function fromEnvelope({ timestamp, namespace, topic, event }: Envelope): Event {
  const at = fromTimestamp(timestamp);
  if (at === undefined) throw invalid('timestamp must be set on forwarded event: invalid argument');
  const nanos = (timestamp?.nanos ?? 0) % 1e6;
  return { timestamp: at, nanos, namespace, topic, payload: { kind: 'any', any: fromAny(event ?? create(AnySchema)) } };
}
