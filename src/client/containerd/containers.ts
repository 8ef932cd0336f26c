import { Containers } from '#proto/gen/containerd/services/containers/v1/containers_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import type { Containerd } from '../containerd.ts';

export type { Container } from '#proto/gen/containerd/services/containers/v1/containers_pb.ts';

export const containers = (door: Containerd): Client<typeof Containers> => door.service(Containers);
