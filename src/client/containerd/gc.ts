import { GarbageCollection } from '#proto/gen/hakobune/services/gc/v1/gc_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import type { Containerd } from '../containerd.ts';

export type { Explanation, PlanResponse } from '#proto/gen/hakobune/services/gc/v1/gc_pb.ts';

export const garbageCollection = (door: Containerd): Client<typeof GarbageCollection> =>
  door.service(GarbageCollection);
