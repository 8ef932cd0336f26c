import { Diff } from '#proto/gen/containerd/services/diff/v1/diff_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import type { Containerd } from '../containerd.ts';

export type { ApplyRequest, DiffRequest } from '#proto/gen/containerd/services/diff/v1/diff_pb.ts';

export const diff = (door: Containerd): Client<typeof Diff> => door.service(Diff);
