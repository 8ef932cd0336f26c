import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { Events as EventsApi } from '#proto/gen/containerd/services/events/v1/events_pb.ts';
import type { EnvelopeSchema } from '#proto/gen/containerd/types/event_pb.ts';
import type { Events } from '#services/events.ts';
import { grpcService, type GrpcCall, type GrpcService } from '#wire/grpc-service.ts';
import { callOf } from './call.ts';
import { fromAny, fromTimestamp, needed, toAny, toTimestamp } from './convert.ts';
import { eventAny } from './event-any.ts';

export const eventsService = (events: Events): GrpcService =>
  grpcService(EventsApi, {
    publish: (request, call) => {
      const any = fromAny(request.event ?? create(AnySchema));
      events.publish(callOf(call).namespace, request.topic, { kind: 'any', any });
      return {};
    },
    forward: (request) => {
      const { timestamp, namespace, topic, event } = needed(request.envelope, 'envelope');
      const any = fromAny(event ?? create(AnySchema));
      events.forward({
        timestamp: fromTimestamp(timestamp) ?? new Date(),
        namespace,
        topic,
        payload: { kind: 'any', any },
      });
      return {};
    },
    subscribe: (request, call) => subscribe(events, request.filters, call),
  });

/** Events of all namespaces: whoever wants one filters for it, as with containerd. */
async function* subscribe(
  events: Events,
  filters: readonly string[],
  call: GrpcCall,
): AsyncGenerator<MessageInitShape<typeof EnvelopeSchema>> {
  const happenings = events.subscribe(filters, call.signal);
  // From now on nothing is missed, and the caller may know it.
  call.begin();
  call.lasts();
  for await (const { timestamp, namespace, topic, payload } of happenings) {
    yield { timestamp: toTimestamp(timestamp), namespace, topic, event: toAny(eventAny(payload)) };
  }
}
