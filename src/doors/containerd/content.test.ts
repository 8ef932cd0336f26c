import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Call } from '#base/call.ts';
import { HakoError } from '#base/errors.ts';
import { silent } from '#base/log.ts';
import {
  Content as ContentApi,
  WriteAction,
  type WriteContentResponse,
} from '#proto/gen/containerd/services/content/v1/content_pb.ts';
import type { Content, ContentWriter } from '#services/content.ts';
import { GrpcClient, type Client } from '#wire/grpc-client.ts';
import { GrpcServer } from '#wire/grpc-server.ts';
import { contentService } from './content.ts';

const { STAT, WRITE, COMMIT } = WriteAction;
const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const bytesOf = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

/** As much of the content service as the protocol of uploads needs, in memory. */
class Shelf {
  readonly blobs = new Map<string, Uint8Array>();
  readonly uploads = new Map<string, Buffer>();
  readonly commits: { size?: number; digest?: string; labels?: object }[] = [];
  closed = 0;

  put(text: string): string {
    const bytes = bytesOf(text);
    this.blobs.set(digestOf(bytes), bytes);
    return digestOf(bytes);
  }

  find(_call: Call, digest: string): object | undefined {
    return this.blobs.get(digest);
  }

  async open(_call: Call, digest: string): Promise<object> {
    const bytes = this.blobs.get(digest);
    if (bytes === undefined) throw new HakoError('not-found', `content digest ${digest}: not found`);
    return {
      size: bytes.length,
      read: async (offset: number, length: number) => bytes.subarray(offset, offset + length),
      [Symbol.asyncDispose]: async () => void this.closed++,
    };
  }

  async abort(_call: Call, ref: string): Promise<void> {
    this.uploads.delete(ref);
  }

  async writer(_call: Call, { ref, expected }: { ref: string; expected?: string }): Promise<ContentWriter> {
    if (expected !== undefined && this.blobs.has(expected))
      throw new HakoError('already-exists', `content ${expected}: already exists`);
    const held = (): Buffer => this.uploads.get(ref) ?? Buffer.alloc(0);
    const close = async (): Promise<void> => void this.closed++;
    const date = new Date();
    return {
      status: () => ({ ref, offset: held().length, total: 0, expected: '', startedAt: date, updatedAt: date }),
      write: async (data) => void this.uploads.set(ref, Buffer.concat([held(), data])),
      truncate: async (size) => void this.uploads.set(ref, held().subarray(0, size)),
      digest: async () => digestOf(held()),
      commit: async (wanted) => {
        this.commits.push(wanted);
        this.blobs.set(digestOf(held()), held());
        const digest = digestOf(held());
        this.uploads.delete(ref);
        return digest;
      },
      close,
      [Symbol.asyncDispose]: close,
    };
  }
}

async function house(t: TestContext): Promise<{ shelf: Shelf; client: Client<typeof ContentApi> }> {
  const directory = await mkdtemp(join(tmpdir(), 'hako-door-'));
  const shelf = new Shelf();
  const server = new GrpcServer([contentService(shelf as unknown as Content)], silent);
  const path = join(directory, 'd.sock');
  await server.listen(path);
  const connection = new GrpcClient(path, { 'containerd-namespace': 'default' });
  t.after(async () => {
    connection.close();
    await server.close(0);
    await rm(directory, { recursive: true });
  });
  return { shelf, client: connection.service(ContentApi) };
}

interface Said {
  readonly action?: WriteAction;
  readonly ref?: string;
  readonly offset?: bigint;
  readonly total?: bigint;
  readonly expected?: string;
  readonly data?: Uint8Array<ArrayBuffer>;
  readonly labels?: Record<string, string>;
}

async function talk(client: Client<typeof ContentApi>, ...said: Said[]): Promise<WriteContentResponse[]> {
  const replies: WriteContentResponse[] = [];
  const requests = async function* (): AsyncGenerator<Said> {
    yield* said;
  };
  for await (const reply of client.write(requests())) replies.push(reply);
  return replies;
}

test('an upload is asked for, written and committed', async (t) => {
  const { shelf, client } = await house(t);
  const replies = await talk(
    client,
    { action: STAT, ref: 'r', total: 11n },
    { action: WRITE, offset: 0n, data: bytesOf('hello ') },
    { action: WRITE, offset: 6n, data: bytesOf('world') },
    { action: COMMIT, offset: 11n, total: 11n, expected: digestOf(bytesOf('hello world')), labels: { a: 'b' } },
  );
  assert.deepEqual(
    replies.map(({ action, offset }) => [action, offset]),
    [
      [STAT, 0n],
      [WRITE, 6n],
      [WRITE, 11n],
      [COMMIT, 11n],
    ],
  );
  assert.equal(replies[0]?.total, 11n);
  assert.equal(replies[1]?.digest, digestOf(bytesOf('hello ')));
  assert.equal(replies[3]?.digest, digestOf(bytesOf('hello world')));
  assert.deepEqual(shelf.commits, [{ size: 11, digest: digestOf(bytesOf('hello world')), labels: { a: 'b' } }]);
});

test('a client that stops leaves its bytes, and goes on or starts anew', async (t) => {
  const { shelf, client } = await house(t);
  await talk(client, { action: WRITE, ref: 'r', data: bytesOf('hel') });
  assert.equal(shelf.uploads.get('r')?.toString(), 'hel');
  assert.equal(shelf.closed, 1);

  const [stat, more] = await talk(
    client,
    { action: STAT, ref: 'r' },
    { action: WRITE, offset: 3n, data: bytesOf('lo') },
  );
  assert.deepEqual([stat?.offset, more?.offset], [3n, 5n]);
  assert.equal(stat?.digest, digestOf(bytesOf('hel')));

  const [anew] = await talk(client, { action: WRITE, ref: 'r', offset: 0n, data: bytesOf('bye') });
  assert.deepEqual([anew?.offset, shelf.uploads.get('r')?.toString()], [3n, 'bye']);
});

test('a write elsewhere than at the end is out of range', async (t) => {
  const { client } = await house(t);
  const upload = talk(
    client,
    { action: WRITE, ref: 'r', data: bytesOf('hello') },
    { action: WRITE, offset: 9n, data: bytesOf('!') },
  );
  await assert.rejects(upload, { code: 'out-of-range', message: 'write @9 must occur at current offset 5' });
});

test('a blob that is there already is told at once, or when its digest becomes known', async (t) => {
  const { shelf, client } = await house(t);
  const digest = shelf.put('known');
  await assert.rejects(talk(client, { action: STAT, ref: 'r', expected: digest }), { code: 'already-exists' });
  const upload = talk(
    client,
    { action: WRITE, ref: 'r', data: bytesOf('known') },
    { action: COMMIT, offset: 5n, expected: digest },
  );
  await assert.rejects(upload, { code: 'already-exists' });
  assert.equal(shelf.uploads.has('r'), false);
});

test('an upload without a name is invalid', async (t) => {
  const { client } = await house(t);
  await assert.rejects(talk(client, { action: STAT }), {
    code: 'invalid-argument',
    message: 'first message must have a reference',
  });
  await assert.rejects(talk(client), { code: 'invalid-argument' });
});

test('a blob is read whole, in part, and not past its end', async (t) => {
  const { shelf, client } = await house(t);
  const text = 'x'.repeat(2_500_000);
  const digest = shelf.put(text);
  const read = async (offset: bigint, size: bigint): Promise<[number, bigint[]]> => {
    const offsets: bigint[] = [];
    let length = 0;
    for await (const piece of client.read({ digest, offset, size })) {
      offsets.push(piece.offset);
      length += piece.data.length;
    }
    return [length, offsets];
  };
  assert.deepEqual(await read(0n, 0n), [2_500_000, [0n, 1_048_576n, 2_097_152n]]);
  assert.deepEqual(await read(10n, 5n), [5, [10n]]);
  assert.deepEqual(await read(2_499_999n, 100n), [1, [2_499_999n]]);
  assert.deepEqual(await read(2_500_000n, 0n), [0, []]);
  await assert.rejects(read(2_500_001n, 0n), { code: 'out-of-range' });
  assert.equal(shelf.closed, 5);
  await assert.rejects(
    async () => {
      for await (const _ of client.read({ digest: 'sha256:00' }));
    },
    { code: 'not-found' },
  );
});
