import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { HakoError, invalid } from '#base/errors.ts';
import type { Image } from '#core/images.ts';
import {
  Images as ImagesApi,
  type Image as ImageMessage,
  ImageSchema,
  ListImagesResponseSchema,
} from '#proto/gen/containerd/services/images/v1/images_pb.ts';
import type { Images, NewImage } from '#services/images.ts';
import { grpcService, type GrpcService } from '#wire/grpc-service.ts';
import { repeated } from '#wire/repeated.ts';
import { callOf } from './call.ts';
import { fromDescriptor, fromTimestamp, needed, paths, toDescriptor, toTimestamp } from './convert.ts';

export const imagesService = (images: Images): GrpcService =>
  grpcService(ImagesApi, {
    get: (request, call) => ({ image: toImage(images.get(callOf(call), request.name)) }),
    list: (request, call) =>
      repeated(
        ListImagesResponseSchema,
        'images',
        ImageSchema,
        images.list(callOf(call), request.filters).map(toImage),
      ),
    create: async (request, call) => {
      const image = fromImage(request.image, request.sourceDateEpoch);
      return { image: toImage(await images.create(callOf(call), image)) };
    },
    update: async (request, call) => {
      const image = fromImage(request.image, request.sourceDateEpoch);
      return { image: toImage(await images.update(callOf(call), image, paths(request.updateMask))) };
    },
    delete: async (request, call) => {
      const scoped = callOf(call);
      if (request.target !== undefined) checkTarget(images.get(scoped, request.name), request.target.digest);
      await images.delete(scoped, request.name, { sync: request.sync });
      return {};
    },
  });

/** A client may ask that the name goes only if it still points where the client believes. */
function checkTarget(image: Image, digest: string): void {
  if (digest === '' || image.target.digest === digest) return;
  throw new HakoError('not-found', `image "${image.name}" has target ${image.target.digest}, not ${digest}: not found`);
}

const toImage = (image: Image): MessageInitShape<typeof ImageSchema> => ({
  name: image.name,
  labels: { ...image.labels },
  target: toDescriptor(image.target),
  createdAt: toTimestamp(image.createdAt),
  updatedAt: toTimestamp(image.updatedAt),
});

function fromImage(message: ImageMessage | undefined, sourceDateEpoch: Timestamp | undefined): NewImage {
  const { name, labels, target } = needed(message, 'Image');
  if (name === '') throw invalid('Image.Name required');
  // An update that changes labels alone may leave the target out.
  const descriptor =
    target === undefined ? { mediaType: '', digest: '', size: 0 } : fromDescriptor(target, 'Image.Target');
  const epoch = fromTimestamp(sourceDateEpoch);
  return { name, labels, target: descriptor, ...(epoch !== undefined && { epoch }) };
}
