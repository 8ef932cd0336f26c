import { Snapshots } from '#proto/gen/containerd/services/snapshots/v1/snapshots_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import type { Containerd } from '../containerd.ts';

export type { Info as SnapshotInfo } from '#proto/gen/containerd/services/snapshots/v1/snapshots_pb.ts';

export const snapshots = (door: Containerd): Client<typeof Snapshots> => door.service(Snapshots);
