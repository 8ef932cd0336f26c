import { Events } from '#proto/gen/containerd/services/events/v1/events_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import type { Containerd } from '../containerd.ts';

export type { SubscribeRequest } from '#proto/gen/containerd/services/events/v1/events_pb.ts';

export const events = (door: Containerd): Client<typeof Events> => door.service(Events);
