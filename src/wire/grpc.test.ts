import { create, createFileRegistry, type DescMessage, type DescService, type Message } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { setTimeout as sleep } from 'node:timers/promises';
import { HakoError } from '#base/errors.ts';
import { silent } from '#base/log.ts';
import { GrpcClient } from './grpc-client.ts';
import { GrpcServer } from './grpc-server.ts';
import { grpcService, type GrpcCall, type GrpcService } from './grpc-service.ts';

/** `test.Echo`, with one method of each kind. */
interface Text extends Message {
  text: string;
}
interface EchoService extends DescService {
  method: Record<string, never> & {
    say: { methodKind: 'unary'; input: DescMessage; output: DescMessage } & DescService['method'][string];
  };
}

const echo = createFileRegistry(
  create(FileDescriptorProtoSchema, {
    name: 'test/echo.proto',
    package: 'test',
    syntax: 'proto3',
    messageType: [{ name: 'Text', field: [{ name: 'text', number: 1, type: 9, label: 1, jsonName: 'text' }] }],
    service: [
      {
        name: 'Echo',
        method: [
          { name: 'Say', inputType: '.test.Text', outputType: '.test.Text' },
          { name: 'Count', inputType: '.test.Text', outputType: '.test.Text', serverStreaming: true },
          { name: 'Join', inputType: '.test.Text', outputType: '.test.Text', clientStreaming: true },
          {
            name: 'Chat',
            inputType: '.test.Text',
            outputType: '.test.Text',
            clientStreaming: true,
            serverStreaming: true,
          },
        ],
      },
    ],
  }),
  () => undefined,
).getService('test.Echo') as DescService as EchoService;

type Answers = {
  say?: (request: Text, call: GrpcCall) => Promise<{ text: string }>;
  count?: (request: Text, call: GrpcCall) => AsyncIterable<{ text: string }>;
  join?: (requests: AsyncIterable<Text>, call: GrpcCall) => Promise<{ text: string }>;
  chat?: (requests: AsyncIterable<Text>, call: GrpcCall) => AsyncIterable<{ text: string }>;
};

interface EchoClient {
  say(request: { text: string }, options?: object): Promise<Text>;
  count(request: { text: string }, options?: object): AsyncGenerator<Text, void>;
  join(requests: AsyncIterable<{ text: string }>, options?: object): Promise<Text>;
  chat(requests: AsyncIterable<{ text: string }>, options?: object): AsyncGenerator<Text, void>;
}

const wellBehaved: Required<Answers> = {
  say: async ({ text }) => ({ text: `you said ${text}` }),
  count: async function* ({ text }) {
    for (let n = 1; n <= Number(text); n++) yield { text: String(n) };
  },
  join: async (requests) => {
    const texts: string[] = [];
    for await (const { text } of requests) texts.push(text);
    return { text: texts.join('+') };
  },
  chat: async function* (requests) {
    for await (const { text } of requests) yield { text: text.toUpperCase() };
  },
};

const serviceOf = (answers: Answers): GrpcService => grpcService(echo, { ...wellBehaved, ...answers } as never);

/** A server on a socket of its own and a client for it; both are gone after the test. */
async function house(
  t: TestContext,
  answers: Answers = {},
): Promise<{ server: GrpcServer; client: EchoClient; path: string; connection: GrpcClient }> {
  const directory = await mkdtemp(join(tmpdir(), 'hako-grpc-'));
  const path = join(directory, 'test.sock');
  const server = new GrpcServer([serviceOf(answers)], silent);
  await server.listen(path);
  const connection = new GrpcClient(path);
  t.after(async () => {
    connection.close();
    await server.close(0);
    assert.deepEqual(await readdir(directory), []);
    await rm(directory, { recursive: true });
  });
  return { server, path, connection, client: connection.service(echo) as unknown as EchoClient };
}

async function* from(...texts: string[]): AsyncGenerator<{ text: string }> {
  for (const text of texts) yield { text };
}

async function textsOf(replies: AsyncIterable<Text>): Promise<string[]> {
  const texts: string[] = [];
  for await (const { text } of replies) texts.push(text);
  return texts;
}

test('a call of each kind is answered', async (t) => {
  const { client } = await house(t);
  assert.equal((await client.say({ text: 'hello' })).text, 'you said hello');
  assert.deepEqual(await textsOf(client.count({ text: '3' })), ['1', '2', '3']);
  assert.equal((await client.join(from('a', 'b', 'c'))).text, 'a+b+c');
  assert.deepEqual(await textsOf(client.chat(from('a', 'b'))), ['A', 'B']);
  assert.deepEqual(await textsOf(client.count({ text: '0' })), []);
});

test('an error arrives with its code and its message, whatever letters it has', async (t) => {
  const { client } = await house(t, {
    say: async ({ text }) => {
      throw new HakoError('not-found', `image "${text}": 100% höre nix\nzweite Zeile`);
    },
    count: async function* () {
      yield { text: 'one' };
      throw new HakoError('data-loss', 'the rest is gone');
    },
  });
  await assert.rejects(client.say({ text: '箱舟' }), {
    code: 'not-found',
    message: 'image "箱舟": 100% höre nix\nzweite Zeile',
  });
  const replies = client.count({ text: '9' });
  assert.equal((await replies.next()).value?.text, 'one');
  await assert.rejects(replies.next(), { code: 'data-loss', message: 'the rest is gone' });
});

test('a method or service that is not there is unimplemented', async (t) => {
  const { path, client } = await house(t);
  const session = connectHttp2('http://localhost', { createConnection: () => connect(path) });
  t.after(() => session.destroy());
  const ask = async (target: string): Promise<unknown[]> => {
    const stream = session.request(
      { ':method': 'POST', ':path': target, 'content-type': 'application/grpc' },
      { endStream: true },
    );
    const { promise, resolve } = Promise.withResolvers<unknown[]>();
    stream.on('response', (headers) => resolve([headers['grpc-status'], headers['grpc-message']]));
    return promise;
  };
  assert.deepEqual(await ask('/test.Echo/Sing'), ['12', 'unknown method Sing for service test.Echo']);
  assert.deepEqual(await ask('/test.Choir/Sing'), ['12', 'unknown service test.Choir']);
  assert.equal((await client.say({ text: 'x' })).text, 'you said x');
});

test('a call past its deadline ends on both sides', async (t) => {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const { client } = await house(t, {
    say: (_request, call) =>
      new Promise((_, reject) => {
        call.signal.addEventListener('abort', () => {
          resolve(call.signal.reason);
          reject(call.signal.reason);
        });
      }),
  });
  await assert.rejects(client.say({ text: 'x' }, { timeout: 20 }), { code: 'deadline-exceeded' });
  assert.equal(((await promise) as HakoError).code, 'deadline-exceeded');
});

test('a caller who leaves ends the call it made and no other', async (t) => {
  const left = Promise.withResolvers<unknown>();
  const entered = Promise.withResolvers<void>();
  const { client } = await house(t, {
    count: async function* (_request, call) {
      entered.resolve();
      yield { text: 'first' };
      await new Promise<void>((resolve) => call.signal.addEventListener('abort', () => resolve()));
      left.resolve(call.signal.reason);
    },
  });
  const controller = new AbortController();
  const replies = client.count({ text: '' }, { signal: controller.signal });
  await replies.next();
  await entered.promise;
  controller.abort(new HakoError('cancelled', 'enough'));
  await assert.rejects(replies.next(), { code: 'cancelled', message: 'enough' });
  assert.equal(((await left.promise) as HakoError).code, 'cancelled');
  assert.equal((await client.say({ text: 'x' })).text, 'you said x');
});

test('two thousand cancelled calls do not break the connection', async (t) => {
  const { client } = await house(t, {
    count: async function* (_request, call) {
      yield { text: 'first' };
      await new Promise<void>((resolve) => call.signal.addEventListener('abort', () => resolve()));
    },
  });
  for (let round = 0; round < 20; round++) {
    await Promise.all(
      Array.from({ length: 100 }, async () => {
        const replies = client.count({ text: '' });
        await replies.next();
        await replies.return();
      }),
    );
  }
  assert.equal((await client.say({ text: 'x' })).text, 'you said x');
});

test('a reader who is slow holds the sender back', async (t) => {
  let sent = 0;
  const megabyte = 'x'.repeat(1024 * 1024);
  const { client } = await house(t, {
    count: async function* () {
      for (; sent < 200; sent++) yield { text: megabyte };
    },
  });
  const replies = client.count({ text: '' });
  await replies.next();
  let before = -1;
  while (before !== sent) {
    before = sent;
    await sleep(50);
  }
  assert.ok(sent < 100, `${sent} messages were sent to a reader who read one`);
  let rest = 0;
  for await (const { text } of replies) rest += text.length / megabyte.length;
  assert.equal(rest, 199);
});

test('a sender whose messages nobody reads is held back', async (t) => {
  let said = 0;
  const go = Promise.withResolvers<void>();
  const { client } = await house(t, {
    join: async (requests) => {
      await go.promise;
      let count = 0;
      for await (const _ of requests) count++;
      return { text: String(count) };
    },
  });
  const megabyte = 'x'.repeat(1024 * 1024);
  const talk = async function* (): AsyncGenerator<{ text: string }> {
    for (; said < 100; said++) yield { text: megabyte };
  };
  const reply = client.join(talk());
  let before = -1;
  while (before !== said) {
    before = said;
    await sleep(50);
  }
  assert.ok(said < 60, `${said} messages were taken from a sender to whom nobody listened`);
  go.resolve();
  assert.equal((await reply).text, '100');
});

test('a message of 16 MiB passes and a larger one is refused', async (t) => {
  const { client } = await house(t, { say: async ({ text }) => ({ text: String(text.length) }) });
  const most = 16 * 1024 * 1024 - 5;
  assert.equal((await client.say({ text: 'x'.repeat(most) })).text, String(most));
  await assert.rejects(client.say({ text: 'x'.repeat(most + 1) }), { code: 'resource-exhausted' });
  assert.equal((await client.say({ text: 'x' })).text, '1');
});

test('bytes that are no message are refused as by gRPC in Go', async (t) => {
  const { path } = await house(t);
  const session = connectHttp2('http://localhost', { createConnection: () => connect(path) });
  t.after(() => session.destroy());
  const ask = (bytes: Buffer, headers: Record<string, string> = {}): Promise<unknown> => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/test.Echo/Say',
      'content-type': 'application/grpc',
      ...headers,
    });
    const { promise, resolve } = Promise.withResolvers<unknown>();
    stream.on('response', (received) => resolve(received['grpc-status']));
    stream.on('error', () => {});
    stream.end(bytes);
    return promise;
  };
  const hello = Buffer.from([0, 0, 0, 0, 3, 0x0a, 1, 0x78]);
  assert.equal(await ask(hello), undefined); // Answered: its status comes in the trailers.
  assert.equal(await ask(Buffer.concat([hello, hello])), undefined); // The first one counts.
  assert.equal(await ask(Buffer.alloc(0)), '2');
  assert.equal(await ask(hello.subarray(0, 6)), '2');
  assert.equal(await ask(Buffer.from([0, 0, 0, 0, 1, 0xff])), '13');
  assert.equal(await ask(Buffer.from([0, 0, 0, 0, 3, 0x0a, 1, 0xff])), '13'); // Not UTF-8.
  assert.equal(await ask(Buffer.from([1, 0, 0, 0, 3, 0x0a, 1, 0x78])), '13');
  assert.equal(await ask(Buffer.from([2, 0, 0, 0, 3, 0x0a, 1, 0x78])), '13');
  assert.equal(await ask(hello, { 'grpc-encoding': 'snappy' }), '12');
  assert.equal(await ask(hello, { 'grpc-timeout': 'soon' }), '13');
  assert.equal(await ask(hello, { 'grpc-timeout': '0m' }), '4');
  assert.equal(await ask(hello, { 'x-bin': '!' }), '13');
});

test('a caller who compresses is answered in kind, and cannot make more of it than the limit', async (t) => {
  const { path } = await house(t);
  const session = connectHttp2('http://localhost', { createConnection: () => connect(path) });
  t.after(() => session.destroy());
  const ask = async (payload: Buffer): Promise<{ status: unknown; encoding: unknown; reply: Buffer }> => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/test.Echo/Say',
      'content-type': 'application/grpc',
      'grpc-encoding': 'gzip',
    });
    let headers: Record<string, unknown> = {};
    stream.on('response', (received) => (headers = { ...headers, ...received }));
    stream.on('trailers', (received) => (headers = { ...headers, ...received }));
    const head = Buffer.from([1, 0, 0, 0, 0]);
    head.writeUInt32BE(payload.length, 1);
    stream.end(Buffer.concat([head, payload]));
    const reply = Buffer.concat(await stream.toArray());
    return { status: headers['grpc-status'], encoding: headers['grpc-encoding'], reply };
  };
  const { status, encoding, reply } = await ask(gzipSync(Buffer.from([0x0a, 1, 0x78])));
  assert.deepEqual([status, encoding, reply[0]], ['0', 'gzip', 1]);
  assert.equal(gunzipSync(reply.subarray(5)).subarray(2).toString(), 'you said x');
  assert.equal((await ask(Buffer.from('no gzip'))).status, '13');
  assert.equal((await ask(gzipSync(Buffer.alloc(17 * 1024 * 1024)))).status, '8');
});

test('an answer that comes before the caller has said all ends the call', async (t) => {
  const { client } = await house(t, {
    chat: async function* (requests) {
      for await (const { text } of requests) {
        yield { text };
        throw new HakoError('already-exists', 'no need to go on');
      }
    },
  });
  const endless = async function* (): AsyncGenerator<{ text: string }> {
    yield { text: 'first' };
    await new Promise(() => {});
  };
  const replies = client.chat(endless());
  assert.equal((await replies.next()).value?.text, 'first');
  await assert.rejects(replies.next(), { code: 'already-exists', message: 'no need to go on' });
});

test('metadata reaches the handler', async (t) => {
  const { path } = await house(t, {
    say: async (_request, call) => ({ text: String(call.headers['containerd-namespace']) }),
  });
  const connection = new GrpcClient(path, { 'containerd-namespace': 'k8s.io' });
  t.after(() => connection.close());
  const client = connection.service(echo) as unknown as EchoClient;
  assert.equal((await client.say({ text: '' })).text, 'k8s.io');
});

test('close() lets short calls end and ends long ones', async (t) => {
  const { client, server } = await house(t, {
    say: async () => {
      await sleep(50);
      return { text: 'in time' };
    },
    count: async function* (_request, call) {
      yield { text: 'first' };
      await new Promise<void>((resolve) => call.signal.addEventListener('abort', () => resolve()));
    },
  });
  const replies = client.count({ text: '' });
  await replies.next();
  const short = client.say({ text: '' });
  await sleep(10);
  const closing = server.close(300);
  assert.equal((await short).text, 'in time');
  await assert.rejects(replies.next(), { code: 'unavailable', message: 'the daemon is shutting down' });
  await closing;
  await assert.rejects(client.say({ text: '' }), { code: 'unavailable' });
});

test('close() does not wait for calls that only wait themselves', async (t) => {
  const { client, server } = await house(t, {
    count: async function* (_request, call) {
      call.lasts();
      yield { text: 'first' };
      await new Promise<void>((resolve) => call.signal.addEventListener('abort', () => resolve()));
    },
  });
  const replies = client.count({ text: '' });
  await replies.next();
  const refused = assert.rejects(replies.next(), { code: 'unavailable' });
  await server.close(60_000);
  await refused;
});

test('close() ends although a handler never does', async (t) => {
  const { client, server } = await house(t, { say: () => new Promise(() => {}) });
  const refused = assert.rejects(client.say({ text: '' }), { code: 'unavailable' });
  await sleep(10);
  await server.close(10);
  await refused;
});

test('the socket is for owner and group only, and a name that is taken is not taken twice', async (t) => {
  const { path, client } = await house(t);
  assert.equal((await stat(path)).mode & 0o777, 0o660);
  const second = new GrpcServer([serviceOf({})], silent);
  await assert.rejects(second.listen(path), { code: 'unavailable', message: /EADDRINUSE/ });
  await second.close();
  assert.equal((await client.say({ text: 'x' })).text, 'you said x');
});

test('a client without a server names the socket', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'hako-grpc-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'none.sock');
  const connection = new GrpcClient(path);
  t.after(() => connection.close());
  const call = (connection.service(echo) as unknown as EchoClient).say({ text: '' });
  await assert.rejects(call, { code: 'unavailable', message: new RegExp(`^socket "${path}": .*ENOENT`) });
});
