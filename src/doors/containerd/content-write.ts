import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Call } from '#base/call.ts';
import { HakoError, invalid } from '#base/errors.ts';
import {
  WriteAction,
  type WriteContentRequest,
  type WriteContentResponseSchema,
} from '#proto/gen/containerd/services/content/v1/content_pb.ts';
import type { Content, ContentWriter } from '#services/content.ts';
import type { GrpcCall } from '#wire/grpc-service.ts';
import { callOf } from './call.ts';
import { fromInt64, toTimestamp } from './convert.ts';

type Reply = MessageInitShape<typeof WriteContentResponseSchema>;

/** What the client has said so far that a later message may leave out. */
interface Upload {
  readonly ref: string;
  readonly writer: ContentWriter;
  total: number;
  expected: string;
}

/**
 * One upload as containerd's clients talk: the first message names the ref, each message is answered, and the call
 * ends with a commit. A client that stops before leaves its bytes for the next one with the same ref.
 */
export async function* writeContent(
  content: Content,
  requests: AsyncIterable<WriteContentRequest>,
  grpc: GrpcCall,
): AsyncGenerator<Reply> {
  const call = callOf(grpc);
  const iterator = requests[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done === true) throw invalid('the upload ended before its first message');
  if (first.value.ref === '') throw invalid('first message must have a reference');
  const total = fromInt64(first.value.total, 'total');
  const { ref, expected } = first.value;
  const options = { ref, ...(total > 0 && { total }), ...(expected !== '' && { expected }) };
  await using writer = await content.writer(call, options);
  const upload: Upload = { ref, writer, total, expected };
  for (let next: IteratorResult<WriteContentRequest> = first; next.done !== true; next = await iterator.next()) {
    yield await answer(content, call, upload, next.value);
    if (next.value.action === WriteAction.COMMIT) return;
  }
}

async function answer(content: Content, call: Call, upload: Upload, request: WriteContentRequest): Promise<Reply> {
  const { writer } = upload;
  if (request.expected !== '') {
    upload.expected = request.expected;
    await refuseExisting(content, call, upload);
  }
  if (request.total > 0n) upload.total = fromInt64(request.total, 'total');

  const status = writer.status();
  if (request.action === WriteAction.STAT) {
    return {
      action: request.action,
      offset: BigInt(status.offset),
      total: BigInt(upload.total),
      startedAt: toTimestamp(status.startedAt),
      updatedAt: toTimestamp(status.updatedAt),
      digest: await writer.digest(),
    };
  }
  if (request.action !== WriteAction.WRITE && request.action !== WriteAction.COMMIT) {
    throw invalid(`write action ${request.action as number} is unknown`);
  }

  const offset = await placeOf(upload, request, status.offset);
  if (request.data.length > 0) await writer.write(request.data);
  const reply = { action: request.action, offset: BigInt(offset + request.data.length) };
  if (request.action === WriteAction.WRITE) {
    // The digest so far is worth a look by those who do not know it yet; others would only wait for the disk.
    return upload.expected === '' ? { ...reply, digest: await writer.digest() } : reply;
  }
  const digest = await writer.commit({
    ...(upload.total !== 0 && { size: upload.total }),
    ...(upload.expected !== '' && { digest: upload.expected }),
    ...(Object.keys(request.labels).length > 0 && { labels: request.labels }),
  });
  return { ...reply, digest };
}

/** Where the message's data goes: at the end, or at the very beginning once more. */
async function placeOf({ writer }: Upload, request: WriteContentRequest, offset: number): Promise<number> {
  if (request.offset > 0n) {
    if (request.offset === BigInt(offset)) return offset;
    throw new HakoError('out-of-range', `write @${request.offset} must occur at current offset ${offset}`);
  }
  if (offset > 0) await writer.truncate(0);
  return 0;
}

/** A blob that came in by another way meanwhile ends the upload. */
async function refuseExisting(content: Content, call: Call, { ref, writer, expected }: Upload): Promise<void> {
  if (content.find(call, expected) === undefined) return;
  await writer.close();
  await content.abort(call, ref);
  throw new HakoError('already-exists', `blob with expected digest ${expected} exists`);
}
