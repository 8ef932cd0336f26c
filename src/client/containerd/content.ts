import { HakoError } from '#base/errors.ts';
import {
  Content,
  WriteAction,
  type Info,
  type Status,
  type WriteContentRequest,
} from '#proto/gen/containerd/services/content/v1/content_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import type { Containerd } from '../containerd.ts';

export type BlobInfo = Info;
export type IngestStatus = Status;

export const contents = (door: Containerd): Client<typeof Content> => door.service(Content);

/** A manifest or configuration that is larger is none. */
const largestDocument = 16 * 1024 * 1024;

/** The bytes of a blob as they come. Nothing but `digest` is asked: an unknown one is not-found. */
export async function* readBlob(door: Containerd, digest: string): AsyncGenerator<Uint8Array, void> {
  for await (const { data } of contents(door).read({ digest })) if (data.length > 0) yield data;
}

/** A small blob as a whole. */
export async function readDocument(door: Containerd, digest: string): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of readBlob(door, digest)) {
    bytes += piece.length;
    if (bytes > largestDocument)
      throw new HakoError('out-of-range', `blob "${digest}" is larger than ${largestDocument} bytes: no document is`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** Every blob of the namespace that the filters let through. */
export async function listBlobs(door: Containerd, filters: readonly string[] = []): Promise<Info[]> {
  const found: Info[] = [];
  for await (const { info } of contents(door).list({ filters: [...filters] })) found.push(...info);
  return found;
}

export interface NewBlob {
  /** Names the upload: whoever gives the same one goes on with it. */
  readonly ref: string;
  /** 0: unknown. */
  readonly size?: number;
  readonly digest?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** A message takes 16 MiB at most; this is what flows well. */
const pieceBytes = 1024 * 1024;

/**
 * Writes a blob and commits it, from the start of the upload whatever was there before. Resolves with its digest and
 * size. What the store has already is fine.
 */
export async function writeBlob(
  door: Containerd,
  blob: NewBlob,
  data: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<{ digest: string; size: number }> {
  const { ref, size = 0, digest = '', labels = {} } = blob;
  const base = { ref, total: BigInt(size), expected: digest };
  let offset = 0;
  async function* requests(): AsyncGenerator<Omit<Partial<WriteContentRequest>, '$typeName'>> {
    yield { ...base, action: WriteAction.STAT };
    for await (const chunk of data) {
      for (let at = 0; at < chunk.length; at += pieceBytes) {
        const piece = chunk.subarray(at, at + pieceBytes);
        yield { ...base, action: WriteAction.WRITE, offset: BigInt(offset), data: piece };
        offset += piece.length;
      }
    }
    yield { ...base, action: WriteAction.COMMIT, offset: BigInt(offset), labels: { ...labels } };
  }
  let last: string | undefined;
  try {
    for await (const reply of contents(door).write(requests())) {
      if (reply.digest !== '') last = reply.digest;
    }
  } catch (error) {
    if (!(error instanceof HakoError) || error.code !== 'already-exists') throw error;
    // Some other upload of the same bytes was faster; ours is of no use any more.
    await contents(door)
      .abort({ ref })
      .catch(() => {});
    last ??= /sha256:[0-9a-f]{64}/.exec(error.message)?.[0] ?? digest;
  }
  return { digest: last ?? digest, size: offset };
}
