import { Images } from '#proto/gen/containerd/services/images/v1/images_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import type { Containerd } from '../containerd.ts';

export type { Image } from '#proto/gen/containerd/services/images/v1/images_pb.ts';

export const images = (door: Containerd): Client<typeof Images> => door.service(Images);
