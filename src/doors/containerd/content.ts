import type { MessageInitShape } from '@bufbuild/protobuf';
import { HakoError } from '#base/errors.ts';
import {
  Content as ContentApi,
  type InfoSchema,
  type ReadContentRequest,
  type ReadContentResponseSchema,
  type StatusSchema,
} from '#proto/gen/containerd/services/content/v1/content_pb.ts';
import type { Content, ContentInfo, IngestStatus } from '#services/content.ts';
import { grpcService, type GrpcCall, type GrpcService } from '#wire/grpc-service.ts';
import { callOf } from './call.ts';
import { writeContent } from './content-write.ts';
import { fromInt64, inBlocks, needed, paths, toTimestamp } from './convert.ts';

/** Bytes of a blob in one message. */
const readSize = 1024 * 1024;

export const contentService = (content: Content): GrpcService =>
  grpcService(ContentApi, {
    info: (request, call) => ({ info: toInfo(content.info(callOf(call), request.digest)) }),
    update: async (request, call) => {
      const { digest, labels } = needed(request.info, 'Info');
      return { info: toInfo(await content.update(callOf(call), { digest, labels }, paths(request.updateMask))) };
    },
    list: async function* (request, call) {
      for (const block of inBlocks(content.list(callOf(call), request.filters))) yield { info: block.map(toInfo) };
    },
    delete: async (request, call) => {
      await content.delete(callOf(call), request.digest);
      return {};
    },
    read: (request, call) => readContent(content, request, call),
    status: async (request, call) => ({ status: toStatus(await content.status(callOf(call), request.ref)) }),
    listStatuses: async (request, call) => ({
      statuses: (await content.statuses(callOf(call), request.filters)).map(toStatus),
    }),
    write: (requests, call) => writeContent(content, requests, call),
    abort: async (request, call) => {
      await content.abort(callOf(call), request.ref);
      return {};
    },
  });

/** `size` is how much is read, 0 for all; a piece that reaches past the end stops there. */
async function* readContent(
  content: Content,
  request: ReadContentRequest,
  call: GrpcCall,
): AsyncGenerator<MessageInitShape<typeof ReadContentResponseSchema>> {
  await using blob = await content.open(callOf(call), request.digest);
  let offset = Math.max(0, fromInt64(request.offset, 'offset'));
  const size = fromInt64(request.size, 'size');
  if (offset > blob.size) throw new HakoError('out-of-range', `read past object length ${blob.size} bytes`);
  const end = size <= 0 ? blob.size : Math.min(blob.size, offset + size);
  while (offset < end) {
    const data = await blob.read(offset, Math.min(readSize, end - offset), call.signal);
    if (data.length === 0)
      throw new HakoError('data-loss', `content "${request.digest}" ends after ${offset} of ${blob.size} bytes`);
    yield { offset: BigInt(offset), data };
    offset += data.length;
  }
}

const toInfo = (info: ContentInfo): MessageInitShape<typeof InfoSchema> => ({
  digest: info.digest,
  size: BigInt(info.size),
  createdAt: toTimestamp(info.createdAt),
  updatedAt: toTimestamp(info.updatedAt),
  labels: { ...info.labels },
});

const toStatus = (status: IngestStatus): MessageInitShape<typeof StatusSchema> => ({
  startedAt: toTimestamp(status.startedAt),
  updatedAt: toTimestamp(status.updatedAt),
  ref: status.ref,
  offset: BigInt(status.offset),
  total: BigInt(status.total),
  expected: status.expected,
});
