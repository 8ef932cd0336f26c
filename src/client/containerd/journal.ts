import { Journal } from '#proto/gen/hakobune/services/journal/v1/journal_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import type { Containerd } from '../containerd.ts';

export type { Entry } from '#proto/gen/hakobune/services/journal/v1/journal_pb.ts';

export const journal = (door: Containerd): Client<typeof Journal> => door.service(Journal);
