import { Events as EventsApi } from '#proto/gen/containerd/services/events/ttrpc/v1/events_pb.ts';
import type { Services } from '#services/services.ts';
import type { TtrpcServer } from '#wire/ttrpc-server.ts';
import { needed } from './convert.ts';
import { fromEnvelope } from './envelope.ts';

/** What shims may ask of us: to hand on what they have to tell. */
export function containerdTtrpcDoor({ events }: Pick<Services, 'events'>, server: TtrpcServer): void {
  server.add(EventsApi, {
    forward: async ({ envelope }) => {
      events.forward(fromEnvelope(needed(envelope, 'envelope')));
      await events.kept();
      return {};
    },
  });
}
