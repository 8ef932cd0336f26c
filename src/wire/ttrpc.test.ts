import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { HakoError, unimplemented } from '#base/errors.ts';
import { silent } from '#base/log.ts';
import { Version } from '#proto/gen/containerd/services/version/v1/version_pb.ts';
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

test('a frame that claims to be over the limit ends the connection', async (t) => {
  const { socket } = await pair(t, async () => ({ version: '' }));
  const raw = connect(socket);
  raw.on('error', () => {});
  raw.write(Buffer.from([0xff, 0, 0, 0, 0, 0, 0, 1, 1, 0]));
  await new Promise((resolve) => raw.once('close', resolve));
});
