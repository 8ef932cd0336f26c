import { Content } from '#proto/gen/containerd/services/content/v1/content_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import type { Containerd } from '../containerd.ts';

export type { Info as BlobInfo, Status as IngestStatus } from '#proto/gen/containerd/services/content/v1/content_pb.ts';

export const contents = (door: Containerd): Client<typeof Content> => door.service(Content);
