import { create, toBinary } from '@bufbuild/protobuf';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { HakoError, unimplemented } from '#base/errors.ts';
import { silent } from '#base/log.ts';
import { Version } from '#proto/gen/containerd/services/version/v1/version_pb.ts';
import { RequestSchema } from '#proto/gen/ttrpc/request_pb.ts';
import { TtrpcClient } from './ttrpc-client.ts';
import { encodeFrame, longestData } from './ttrpc-frames.ts';
import { TtrpcServer, type TtrpcCall } from './ttrpc-server.ts';

async function pair(t: { after(undo: () => void): void }, answer: (call: TtrpcCall) => Promise<{ version: string }>) {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'hako-ttrpc-'));
  const socket = path.join(directory, 's');
  const server = new TtrpcServer(silent);
  server.add(Version, { version: (_request, call) => answer(call) });
  await server.listen({ path: socket });
  const client = await TtrpcClient.connect(socket);
  t.after(() => {
    client.close();
    server.close();
    rmSync(directory, { recursive: true });
  });
  return { socket, server, client, version: client.service(Version) };
}

test('a unary call carries metadata there and the answer back', async (t) => {
  const { version } = await pair(t, async (call) => ({
    version: call.metadata.get('containerd-namespace-ttrpc') ?? '',
  }));
  assert.equal((await version.version({}, { metadata: { 'containerd-namespace-ttrpc': 'blue' } })).version, 'blue');
});

test('calls on one connection overtake each other', async (t) => {
  const first = Promise.withResolvers<{ version: string }>();
  let calls = 0;
  const { version } = await pair(t, () => (++calls === 1 ? first.promise : Promise.resolve({ version: 'second' })));
  const slow = version.version({});
  assert.equal((await version.version({})).version, 'second');
  first.resolve({ version: 'first' });
  assert.equal((await slow).version, 'first');
});

test('an error arrives with its code and message', async (t) => {
  const { version } = await pair(t, async () => {
    throw new HakoError('not-found', 'task "x": not found');
  });
  await assert.rejects(version.version({}), { code: 'not-found', message: 'task "x": not found' });
});

test('an answer over the limit is refused, and the connection goes on', async (t) => {
  let size = longestData + 1;
  const { version } = await pair(t, async () => ({ version: 'x'.repeat(size) }));
  await assert.rejects(version.version({}), { code: 'resource-exhausted' });
  size = longestData - 100;
  assert.equal((await version.version({})).version.length, size);
});

test('a time-out ends the wait, and the server hears of it', async (t) => {
  const heard = Promise.withResolvers<string>();
  const { version } = await pair(t, (call) => {
    call.signal.addEventListener('abort', () => heard.resolve(call.signal.reason.name));
    return new Promise(() => {});
  });
  await assert.rejects(version.version({}, { timeout: 20 }), { code: 'deadline-exceeded' });
  assert.equal(await heard.promise, 'TimeoutError');
});

test('losing the connection fails what is under way as unavailable', async (t) => {
  const { server, version } = await pair(t, () => new Promise(() => {}));
  const call = version.version({});
  setImmediate(() => server.close());
  await assert.rejects(call, { code: 'unavailable' });
});

test('a stream is refused, and an unknown method too', async (t) => {
  const { socket } = await pair(t, async () => {
    throw unimplemented('nothing');
  });
  const raw = connect(socket);
  t.after(() => raw.destroy());
  raw.write(encodeFrame({ stream: 1, type: 1, flags: 2, data: new Uint8Array() }));
  const answer = await new Promise<string>((resolve) => raw.once('data', (data) => resolve(data.toString('latin1'))));
  assert.match(answer, /streaming over ttrpc is not implemented/);
});

/** What a raw client gets back for these bytes, as text, once it contains `until`. */
async function tell(t: TestContext, socket: string, until: RegExp, ...pieces: Uint8Array[]): Promise<string> {
  const raw = connect(socket);
  t.after(() => raw.destroy());
  raw.on('error', () => {});
  for (const piece of pieces) raw.write(piece);
  let heard = '';
  for await (const chunk of raw) {
    heard += (chunk as Buffer).toString('latin1');
    if (until.test(heard)) return heard;
  }
  return heard;
}

const ask = (stream: number, ballast = ''): Buffer => {
  const metadata = [{ key: 'ballast', value: ballast }];
  const request = create(RequestSchema, { service: Version.typeName, method: 'Version', metadata });
  return encodeFrame({ stream, type: 1, flags: 0, data: toBinary(RequestSchema, request) });
};

test('a frame over the limit is passed over, its sender is told, and the connection goes on', async (t) => {
  const { socket } = await pair(t, async () => ({ version: 'still here' }));
  const head = Buffer.alloc(10);
  head.writeUInt32BE(longestData + 1, 0);
  head.writeUInt32BE(1, 4);
  head[8] = 1;
  const heard = await tell(t, socket, /still here/, head, Buffer.alloc(longestData + 1, 0xff), ask(3));
  assert.match(heard, /message length 4194305 exceed maximum message size of 4194304/);
  assert.match(heard, /still here/);
});

test('garbage is answered or passed over, and the connection goes on', async (t) => {
  const { socket } = await pair(t, async () => ({ version: 'still here' }));
  const odd = (stream: number, type: number, data: string): Buffer =>
    encodeFrame({ stream, type, flags: 0, data: Buffer.from(data) });
  const pieces = [odd(1, 1, '\xff\xff'), odd(2, 1, ''), odd(3, 9, 'x'), odd(5, 3, 'x'), odd(7, 2, 'x'), ask(9)];
  const heard = await tell(t, socket, /still here/, ...pieces);
  assert.match(heard, /not a valid message/);
  assert.match(heard, /StreamID must be odd/);
});

test('a client that does not read its answers is not read from for ever', async (t) => {
  let answered = 0;
  const { socket } = await pair(t, async () => {
    answered += 1;
    return { version: 'x'.repeat(1024 * 1024) };
  });
  const raw = connect(socket);
  t.after(() => raw.destroy());
  raw.pause();
  for (let stream = 1; stream < 800; stream += 2) raw.write(ask(stream, 'x'.repeat(32_768)));
  await sleep(300);
  const before = answered;
  await sleep(100);
  assert.equal(answered, before);
  assert.ok(answered < 400, `${answered} answers`);
  raw.resume();
  while (answered < 400) await sleep(20);
});
