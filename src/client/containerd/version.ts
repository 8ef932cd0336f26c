import { Version } from '#proto/gen/containerd/services/version/v1/version_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import type { Containerd } from '../containerd.ts';

export type { VersionResponse } from '#proto/gen/containerd/services/version/v1/version_pb.ts';

export const version = (door: Containerd): Client<typeof Version> => door.service(Version);
