import { Leases } from '#proto/gen/containerd/services/leases/v1/leases_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import type { Containerd } from '../containerd.ts';

export type { Lease } from '#proto/gen/containerd/services/leases/v1/leases_pb.ts';

export const leases = (door: Containerd): Client<typeof Leases> => door.service(Leases);
