import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { codeless, messageOf } from '#base/errors.ts';
import type { Event } from '#core/events.ts';
import { Events as EventsApi } from '#proto/gen/containerd/services/events/v1/events_pb.ts';
import type { EnvelopeSchema } from '#proto/gen/containerd/types/event_pb.ts';
import type { Events } from '#services/events.ts';
import { grpcService, type GrpcCall, type GrpcService } from '#wire/grpc-service.ts';
import { callOf } from './call.ts';
import { fromAny, needed } from './convert.ts';
import { fromEnvelope, toEnvelope } from './envelope.ts';

export const eventsService = (events: Events): GrpcService =>
  grpcService(EventsApi, {
    publish: async (request, call) => {
      const any = fromAny(request.event ?? create(AnySchema));
      events.publish(callOf(call).namespace, request.topic, { kind: 'any', any });
      await events.kept();
      return {};
    },
    forward: async (request) => {
      events.forward(fromEnvelope(needed(request.envelope, 'envelope')));
      await events.kept();
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
  const happenings = subscribed(events, filters, call);
  // From now on nothing is missed, and the caller may know it.
  call.begin();
  call.lasts();
  for await (const event of happenings) yield toEnvelope(event);
}

/** containerd forgets the code of a filter that is none, and its clients may look at that. */
function subscribed(events: Events, filters: readonly string[], call: GrpcCall): AsyncIterable<Event> {
  try {
    return events.subscribe(filters, call.signal);
  } catch (error) {
    const message = `subscription error: failed parsing subscription filters: ${messageOf(error)}`;
    throw codeless(message);
  }
}
