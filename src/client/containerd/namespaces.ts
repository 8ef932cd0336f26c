import { Namespaces } from '#proto/gen/containerd/services/namespaces/v1/namespaces_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import type { Containerd } from '../containerd.ts';

export type { Namespace } from '#proto/gen/containerd/services/namespaces/v1/namespaces_pb.ts';

export const namespaces = (door: Containerd): Client<typeof Namespaces> => door.service(Namespaces);
