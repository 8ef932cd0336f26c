import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { Events as EventsApi } from '#proto/gen/containerd/services/events/v1/events_pb.ts';
import type { EnvelopeSchema } from '#proto/gen/containerd/types/event_pb.ts';
import type { Events } from '#services/events.ts';
import { grpcService, type GrpcCall, type GrpcService } from '#wire/grpc-service.ts';
import { callOf } from './call.ts';
import { fromAny, needed } from './convert.ts';
import { fromEnvelope, toEnvelope } from './envelope.ts';

export const eventsService = (events: Events): GrpcService =>
  grpcService(EventsApi, {
    publish: (request, call) => {
      const any = fromAny(request.event ?? create(AnySchema));
      events.publish(callOf(call).namespace, request.topic, { kind: 'any', any });
      return {};
    },
    forward: (request) => {
      events.forward(fromEnvelope(needed(request.envelope, 'envelope')));
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
  for await (const event of happenings) yield toEnvelope(event);
}
