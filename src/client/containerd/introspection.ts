import { Introspection } from '#proto/gen/containerd/services/introspection/v1/introspection_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import type { Containerd } from '../containerd.ts';

export type { Plugin } from '#proto/gen/containerd/services/introspection/v1/introspection_pb.ts';

export const introspection = (door: Containerd): Client<typeof Introspection> => door.service(Introspection);
