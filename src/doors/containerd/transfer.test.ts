import { EmptySchema, type Any as AnyMessage } from '@bufbuild/protobuf/wkt';
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Call } from '#base/call.ts';
import { unimplemented } from '#base/errors.ts';
import { silent } from '#base/log.ts';
import type { Any } from '#core/any.ts';
import {
  StreamInitSchema,
  Streaming as StreamingApi,
} from '#proto/gen/containerd/services/streaming/v1/streaming_pb.ts';
import { Transfer as TransferApi } from '#proto/gen/containerd/services/transfer/v1/transfer_pb.ts';
import { ImageStoreSchema } from '#proto/gen/containerd/types/transfer/imagestore_pb.ts';
import {
  ImageExportStreamSchema,
  ImageImportStreamSchema,
} from '#proto/gen/containerd/types/transfer/importexport_pb.ts';
import { ProgressSchema } from '#proto/gen/containerd/types/transfer/progress_pb.ts';
import {
  AuthRequestSchema,
  AuthResponseSchema,
  AuthType,
  HTTPDebug,
  OCIRegistrySchema,
} from '#proto/gen/containerd/types/transfer/registry_pb.ts';
import { DataSchema, WindowUpdateSchema } from '#proto/gen/containerd/types/transfer/streaming_pb.ts';
import { Streaming } from '#services/streaming.ts';
import type {
  ExportEnd,
  ImportEnd,
  RegistryEnd,
  StoreEnd,
  TransferEnd,
  TransferProgress,
} from '#services/transfer/ends.ts';
import type { Transfers } from '#services/transfer/transfers.ts';
import { GrpcClient } from '#wire/grpc-client.ts';
import { GrpcServer } from '#wire/grpc-server.ts';
import { packed, typeOf, unpacked } from './any.ts';
import { streamingService } from './streaming.ts';
import { transferService } from './transfer.ts';

type Work = (call: Call, from: TransferEnd, to: TransferEnd, tell: (event: TransferProgress) => void) => Promise<void>;

interface House {
  readonly client: GrpcClient;
  readonly streaming: Streaming;
  /** What the next transfers do. */
  work: Work;
}

async function house(t: TestContext): Promise<House> {
  const directory = await mkdtemp(join(tmpdir(), 'hako-door-'));
  const streaming = new Streaming();
  const it = { streaming, work: async () => {} } as unknown as House;
  const transfers = { transfer: (...given: Parameters<Work>) => it.work(...given) };
  const services = [streamingService(streaming), transferService(transfers as unknown as Transfers, streaming)];
  const server = new GrpcServer(services, silent);
  const path = join(directory, 'd.sock');
  await server.listen(path);
  const client = new GrpcClient(path, { 'containerd-namespace': 'default' });
  t.after(async () => {
    client.close();
    await server.close(0);
    await rm(directory, { recursive: true });
  });
  return Object.assign(it, { client });
}

/** A client's end of a stream. */
class Line {
  readonly #said: Any[] = [];
  readonly #replies: AsyncIterator<AnyMessage>;
  #wake = Promise.withResolvers<void>();
  #ended = false;

  constructor(client: GrpcClient, ...first: Any[]) {
    this.#said.push(...first);
    this.#replies = client.service(StreamingApi).stream(this.#requests())[Symbol.asyncIterator]();
  }

  /** A stream that is registered. */
  static async open(client: GrpcClient, id: string): Promise<Line> {
    const line = new Line(client, packed(StreamInitSchema, { id }));
    assert.equal(typeOf((await line.receive())!), EmptySchema.typeName);
    return line;
  }

  send(object: Any): void {
    this.#said.push(object);
    this.#wake.resolve();
  }

  end(): void {
    this.#ended = true;
    this.#wake.resolve();
  }

  async receive(): Promise<Any | undefined> {
    const next = await this.#replies.next();
    return next.done === true ? undefined : next.value;
  }

  async *#requests(): AsyncGenerator<{ typeUrl: string; value: Uint8Array<ArrayBuffer> }> {
    for (;;) {
      for (let object = this.#said.shift(); object !== undefined; object = this.#said.shift())
        yield { typeUrl: object.typeUrl, value: new Uint8Array(object.value) };
      if (this.#ended) return;
      await this.#wake.promise;
      this.#wake = Promise.withResolvers();
    }
  }
}

const wire = ({ typeUrl, value }: Any): { typeUrl: string; value: Uint8Array<ArrayBuffer> } => ({
  typeUrl,
  value: new Uint8Array(value),
});
const store = (name = 'a:1'): ReturnType<typeof wire> => wire(packed(ImageStoreSchema, { name }));

function transfer(
  { client }: House,
  source: ReturnType<typeof wire>,
  destination: ReturnType<typeof wire>,
  progressStream = '',
): Promise<unknown> {
  return client.service(TransferApi).transfer({ source, destination, options: { progressStream } });
}

test('a stream is registered when its client is told so, and until the client goes', async (t) => {
  const it = await house(t);
  const line = await Line.open(it.client, 'one');
  const call: Call = { namespace: 'default', signal: new AbortController().signal };
  assert.ok(it.streaming.get(call, 'one'));
  assert.throws(() => it.streaming.get({ ...call, namespace: 'other' }, 'one'), { code: 'not-found' });
  const again = new Line(it.client, packed(StreamInitSchema, { id: 'one' }));
  await assert.rejects(again.receive(), { code: 'unknown', message: 'already exists' });
  const wrong = new Line(it.client, packed(EmptySchema, {}));
  await assert.rejects(wrong.receive(), {
    code: 'unknown',
    message: `can't unmarshal type "google.protobuf.Empty" to output "containerd.services.streaming.v1.StreamInit"`,
  });
  it.streaming.get(call, 'one').close();
  assert.equal(await line.receive(), undefined);
  assert.throws(() => it.streaming.get(call, 'one'), { code: 'not-found' });
});

test('a stream that was opened under a lease ends when the collector says so', async (t) => {
  const it = await house(t);
  const line = await Line.open(it.client, 'free');
  assert.deepEqual([...it.streaming.all()], [{ namespace: 'default', name: 'free', active: true }]);
  await it.streaming.remove('default', 'free');
  assert.equal(await line.receive(), undefined);
  assert.deepEqual([...it.streaming.all()], []);
});

test('progress comes in order, and whole before the answer', async (t) => {
  const it = await house(t);
  const line = await Line.open(it.client, 'progress');
  const target = { mediaType: 'm', digest: `sha256:${'0'.repeat(64)}`, size: 7 };
  it.work = async (_call, from, to, tell) => {
    assert.deepEqual([(from as StoreEnd).name, (to as StoreEnd).name], ['a:1', 'b:1']);
    tell({ event: 'Working' });
    for (let at = 0; at < 200; at++)
      tell({ event: 'moving', name: 'x', parents: ['y'], progress: at, total: 200, target });
  };
  let answered = false;
  const answer = transfer(it, store(), store('b:1'), 'progress').then(() => (answered = true));
  const seen: number[] = [];
  for (let object = await line.receive(); object !== undefined; object = await line.receive()) {
    const { event, name, parents, progress, total, desc } = unpacked(ProgressSchema, object);
    if (event === 'Working') continue;
    assert.deepEqual([event, name, parents, total, desc?.size], ['moving', 'x', ['y'], 200n, 7n]);
    seen.push(Number(progress));
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 200 }, (_, at) => at),
  );
  assert.equal(answered, false);
  await answer;
});

test('bytes of an import are granted 64 KiB at a time, as soon as less is left', async (t) => {
  const it = await house(t);
  const line = await Line.open(it.client, 'in');
  const read: number[] = [];
  it.work = async (_call, from) => {
    for await (const piece of (from as ImportEnd).bytes) read.push(piece.length);
  };
  const done = transfer(it, wire(packed(ImageImportStreamSchema, { stream: 'in' })), store());
  const grant = async (): Promise<number> => unpacked(WindowUpdateSchema, (await line.receive())!).update;
  const data = (length: number): void => line.send(packed(DataSchema, { data: new Uint8Array(length) }));
  assert.equal(await grant(), 65536);
  data(1);
  assert.equal(await grant(), 65536);
  // Now 131,071 are left: half of it may go without another grant.
  data(32768);
  line.send(packed(EmptySchema, {}));
  data(32767);
  const early = grant();
  assert.equal(await Promise.race([early, sleep(100, 'none')]), 'none');
  data(1);
  assert.equal(await early, 65536);
  line.end();
  await done;
  assert.deepEqual(read, [1, 32768, 32767, 1]);
});

test('bytes of an export go in pieces of 32 KiB at most, and never more than was granted', async (t) => {
  const it = await house(t);
  const line = await Line.open(it.client, 'out');
  const bytes = Buffer.alloc(100_000, 'export');
  it.work = async (_call, _from, to) => (to as ExportEnd).write(bytes);
  const done = transfer(it, store(), wire(packed(ImageExportStreamSchema, { stream: 'out' })));
  const got: Uint8Array[] = [];
  const next = async (): Promise<number> => {
    const { data } = unpacked(DataSchema, (await line.receive())!);
    got.push(data);
    return data.length;
  };
  const grant = (update: number): void => line.send(packed(WindowUpdateSchema, { update }));
  grant(40_000);
  assert.equal(await next(), 32_768);
  assert.equal(await next(), 7232);
  const third = next();
  assert.equal(await Promise.race([third, sleep(100, 'none')]), 'none');
  grant(-5);
  grant(10);
  assert.equal(await third, 10);
  grant(1_000_000);
  assert.deepEqual([await next(), await next()], [32_768, 27_222]);
  assert.equal(await line.receive(), undefined);
  await done;
  assert.deepEqual(Buffer.concat(got), bytes);
});

test('an export to a client that says it has enough fails', async (t) => {
  const it = await house(t);
  const line = await Line.open(it.client, 'out');
  it.work = async (_call, _from, to) => (to as ExportEnd).write(Buffer.alloc(100));
  const done = transfer(it, store(), wire(packed(ImageExportStreamSchema, { stream: 'out' })));
  line.end();
  await assert.rejects(done, { code: 'cancelled' });
});

test('a registry that wants a login has its client asked, one host after the other', async (t) => {
  const it = await house(t);
  const line = await Line.open(it.client, 'logins');
  const answers: unknown[] = [];
  it.work = async ({ signal }, from) => {
    const { authorize, headers, defaultScheme, hostsDir } = (from as RegistryEnd).options;
    assert.deepEqual([headers, defaultScheme, hostsDir], [{ 'X-Ship': ['hako'] }, 'http', '/certs']);
    const ask = (host: string): Promise<unknown> => authorize!(host, 'example.com/a:1', ['Basic realm="x"'], signal);
    answers.push(...(await Promise.all(['one', 'two', 'three', 'four'].map(ask))));
  };
  const resolver = { authStream: 'logins', headers: { 'X-Ship': 'hako' }, defaultScheme: 'http', hostDir: '/certs' };
  const source = wire(packed(OCIRegistrySchema, { reference: 'example.com/a:1', resolver }));
  const done = transfer(it, source, store());
  const { CREDENTIALS, REFRESH, HEADER } = AuthType;
  for (const [host, answer] of [
    ['one', { authType: CREDENTIALS, username: 'u', secret: 's' }],
    ['two', { authType: REFRESH, secret: 'token' }],
    ['three', { authType: HEADER, secret: 'Bearer x' }],
    ['four', { authType: REFRESH, secret: '' }],
  ] as const) {
    const asked = unpacked(AuthRequestSchema, (await line.receive())!);
    assert.deepEqual(
      [asked.host, asked.reference, asked.wwwauthenticate],
      [host, 'example.com/a:1', ['Basic realm="x"']],
    );
    line.send(packed(AuthResponseSchema, answer));
  }
  await done;
  assert.deepEqual(answers, [
    { type: 'credentials', username: 'u', secret: 's' },
    { type: 'refresh', secret: 'token' },
    { type: 'header', secret: 'Bearer x' },
    { type: 'none' },
  ]);
});

test('what a registry says goes to a client that wants to see it', async (t) => {
  const it = await house(t);
  const line = await Line.open(it.client, 'log');
  it.work = async (_call, from) => {
    const { observe } = (from as RegistryEnd).options;
    observe!('GET /v2/ HTTP/1.1\r\n');
    observe!('HTTP/1.1 200 OK\r\n');
  };
  const resolver = { logsStream: 'log', httpDebug: HTTPDebug.DEBUG };
  const source = wire(packed(OCIRegistrySchema, { reference: 'example.com/a:1', resolver }));
  const done = transfer(it, source, store());
  line.send(packed(WindowUpdateSchema, { update: 65536 }));
  let text = '';
  for (let object = await line.receive(); object !== undefined; object = await line.receive())
    text += Buffer.from(unpacked(DataSchema, object).data).toString();
  assert.equal(text, 'GET /v2/ HTTP/1.1\r\nHTTP/1.1 200 OK\r\n');
  await done;
  await assert.rejects(transfer(it, source, store()), {
    code: 'not-found',
    message: 'failed to get stream for HTTP debug logs: not found',
  });
});

test('what cannot be done is refused in the words of containerd', async (t) => {
  const it = await house(t);
  it.work = async () => {
    throw unimplemented('this');
  };
  await assert.rejects(transfer(it, store(), store()), {
    code: 'unimplemented',
    message:
      'method Transfer not implemented for containerd.types.transfer.ImageStore to containerd.types.transfer.ImageStore',
  });
  await assert.rejects(transfer(it, wire({ typeUrl: 'no.such.Type', value: Buffer.alloc(0) }), store()), {
    code: 'unknown',
    message: 'type with url no.such.Type: not found',
  });
  const empty = wire(packed(EmptySchema, {}));
  await assert.rejects(transfer(it, empty, store()), {
    code: 'unimplemented',
    message: 'method Transfer not implemented for google.protobuf.Empty to containerd.types.transfer.ImageStore',
  });
  await assert.rejects(transfer(it, store(), store(), 'nobody'), { code: 'not-found' });
  const source = wire(packed(ImageImportStreamSchema, { stream: 'nobody' }));
  await assert.rejects(transfer(it, source, store()), { code: 'not-found' });
  await assert.rejects(it.client.service(TransferApi).transfer({}), {
    code: 'unknown',
    message: 'type with url : not found',
  });
});
