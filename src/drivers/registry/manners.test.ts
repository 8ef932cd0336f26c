import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Descriptor } from '#core/images.ts';
import { serve } from '../../../test/support/http-server.ts';
import { makeImage } from '../../../test/support/images.ts';
import { selfSigned, testUser } from '../../../test/support/registry.ts';
import { RegistryClient, type RegistryClientOptions } from './registry.ts';

const signal = new AbortController().signal;
const image = makeImage({ layers: [[{ name: 'hello', data: 'hello' }]] });
const [layer] = image.layers as [Descriptor];
const layerBytes = image.blobs.get(layer.digest) ?? Buffer.alloc(0);

async function scratch(
  t: TestContext,
  options: RegistryClientOptions = {},
): Promise<{ dir: string; registry: RegistryClient }> {
  const dir = await mkdtemp(join(tmpdir(), 'hako-manners-'));
  const registry = new RegistryClient({
    configDirs: [dir],
    dockerConfig: join(dir, 'config.json'),
    retries: { attempts: 3, firstDelay: 5, maxDelay: 1500 },
    ...options,
  });
  t.after(async () => {
    registry[Symbol.dispose]();
    await rm(dir, { recursive: true });
  });
  return { dir, registry };
}

async function bytes(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A server of raw bytes on loopback, closed after the test. */
async function raw(t: TestContext, onConnection: Parameters<Server['on']>[1]): Promise<string> {
  const server = createServer();
  const sockets = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('a busy registry is asked again', async (t) => {
  const { registry } = await scratch(t);
  const answers = [
    { status: 503, headers: {} },
    { status: 429, headers: { 'retry-after': '1' } },
  ];
  await using server = await serve((_request, response) => {
    const { status, headers } = answers.shift() ?? { status: 200, headers: {} };
    response.writeHead(status, headers).end(status === 200 ? layerBytes : undefined);
  });
  assert.deepEqual(await bytes(await registry.fetch(`${server.host}/a:1`, layer, 0, {}, signal)), layerBytes);
  assert.equal(server.requests.length, 3);
});

test('a registry that stays busy, or wishes us to wait too long, is given up with a reason', async (t) => {
  const { registry } = await scratch(t);
  await using server = await serve((request, response) => {
    const long = request.url?.includes('/long/') === true;
    response
      .writeHead(429, long ? { 'retry-after': '3600' } : {})
      .end('{"errors":[{"code":"TOOMANYREQUESTS","message":"slow\\u001b[31m down"}]}');
  });
  await assert.rejects(registry.fetch(`${server.host}/a:1`, layer, 0, {}, signal), {
    code: 'unavailable',
    message: `registry "${server.host}": blob "${layer.digest}" of "a": too many requests: try again later, or log in for a higher limit: TOOMANYREQUESTS: slow [31m down`,
  });
  assert.equal(server.requests.length, 3);
  await assert.rejects(registry.fetch(`${server.host}/long/a:1`, layer, 0, {}, signal), { code: 'unavailable' });
  assert.equal(server.requests.length, 4);
});

test('a redirect to another host carries neither login nor own headers; one to the same host does', async (t) => {
  const { dir, registry } = await scratch(t);
  await using storage = await serve((_request, response) => void response.end(layerBytes));
  await using server = await serve((request, response) => {
    if (request.headers.authorization === undefined)
      return void response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    if (request.url?.includes('/blobs/') === true) return void response.writeHead(307, { location: '/moved' }).end();
    response.writeHead(302, { location: `http://user:word@${storage.host}/bucket?signature=abc` }).end();
  });
  await mkdir(join(dir, server.host));
  await writeFile(join(dir, server.host, 'hosts.toml'), `server = "${server.url}"\n[header]\nx-secret = "s3cret"\n`);
  const stream = await registry.fetch(`${server.host}/a:1`, layer, 0, { credentials: testUser }, signal);
  assert.deepEqual(await bytes(stream), layerBytes);
  const moved = server.requests.at(-1);
  assert.equal(moved?.url, '/moved');
  assert.equal(moved.headers['x-secret'], 's3cret');
  assert.match(moved.headers.authorization ?? '', /^Basic /);
  assert.equal(storage.requests.length, 1);
  const { headers, url } = storage.requests[0] ?? {};
  assert.equal(url, '/bucket?signature=abc');
  assert.deepEqual([headers?.authorization, headers?.['x-secret']], [undefined, undefined]);
});

test('redirects that do not end, leave TLS or lead to a file are refused', async (t) => {
  const { dir, registry } = await scratch(t);
  const { key, pem } = await selfSigned(dir);
  await using loop = await serve((_request, response) => void response.writeHead(302, { location: '/again' }).end());
  await assert.rejects(registry.fetch(`${loop.host}/a:1`, layer, 0, {}, signal), /more than 10 redirects/);
  assert.equal(loop.requests.length, 11);
  await using down = await serve((_request, response) => void response.writeHead(302, { location: loop.url }).end(), {
    cert: pem,
    key: await readFile(key, 'utf8'),
  });
  await assert.rejects(
    registry.fetch(`${down.host}/a:1`, layer, 0, { skipVerify: true }, signal),
    /redirects from TLS to plain HTTP at/,
  );
  await using odd = await serve(
    (_request, response) => void response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
  );
  await assert.rejects(
    registry.fetch(`${odd.host}/a:1`, layer, 0, {}, signal),
    /redirects to "file:", which is neither http nor https/,
  );
});

test('a registry without Range gives the whole blob, and what is there already is passed over', async (t) => {
  const { registry } = await scratch(t);
  await using server = await serve((_request, response) => void response.end(layerBytes));
  assert.deepEqual(
    await bytes(await registry.fetch(`${server.host}/a:1`, layer, 20, {}, signal)),
    layerBytes.subarray(20),
  );
});

test('more or fewer bytes than the manifest says are refused', async (t) => {
  const { registry } = await scratch(t);
  await using server = await serve((request, response) => {
    response.end(
      request.url?.includes('/more/') === true ? Buffer.concat([layerBytes, Buffer.of(1)]) : layerBytes.subarray(1),
    );
  });
  const read = async (name: string): Promise<Buffer> =>
    bytes(await registry.fetch(`${server.host}/${name}:1`, layer, 0, {}, signal));
  await assert.rejects(read('more/a'), { code: 'failed-precondition', message: /sends more than the \d+ bytes/ });
  await assert.rejects(read('fewer/a'), { code: 'unavailable', message: /ended after \d+ of \d+ bytes/ });
});

test('a digest, type and size that HEAD does not tell are read from the manifest', async (t) => {
  const { registry } = await scratch(t);
  const head: { status: number } = { status: 200 };
  await using server = await serve((request, response) => {
    if (request.method === 'HEAD') return void response.writeHead(head.status).end();
    response.writeHead(200, { 'content-type': 'application/json; charset=utf-8' }).end(image.manifest);
  });
  for (head.status of [200, 405, 404])
    assert.deepEqual(await registry.resolve(`${server.host}/a:1`, {}, signal), image.target);
  assert.deepEqual(await registry.resolve(`${server.host}/a@${image.target.digest}`, {}, signal), image.target);
  await assert.rejects(registry.resolve(`${server.host}/a@${layer.digest}`, {}, signal), {
    code: 'data-loss',
    message: /asked for image .* it answers with/,
  });
});

test('manifests of schema 1, of no image and without end are refused', async (t) => {
  const { registry } = await scratch(t);
  const types: Record<string, [type: string, body: () => Buffer]> = {
    one: ['application/vnd.docker.distribution.manifest.v1+prettyjws', () => Buffer.from('{"schemaVersion":1}')],
    plain: ['application/json', () => Buffer.from('{"schemaVersion":1}')],
    page: ['text/html', () => Buffer.from('<html>hello</html>')],
    huge: ['application/json', () => Buffer.alloc(9 * 1024 * 1024, 0x20)],
  };
  await using server = await serve((request, response) => {
    const [type, body] = types[request.url?.split('/')[2] ?? ''] ?? ['', () => Buffer.alloc(0)];
    response.writeHead(200, { 'content-type': type }).end(request.method === 'HEAD' ? undefined : body());
  });
  const resolve = (name: string): Promise<Descriptor> => registry.resolve(`${server.host}/${name}:1`, {}, signal);
  for (const name of ['one', 'plain'])
    await assert.rejects(resolve(name), {
      code: 'invalid-argument',
      message: /is of Docker's schema 1, which is no longer supported/,
    });
  await assert.rejects(resolve('page'), {
    code: 'failed-precondition',
    message: /has a manifest of type "text\/html", which is no image/,
  });
  await assert.rejects(resolve('huge'), { code: 'resource-exhausted', message: /the limit is 8388608/ });
  const large = { ...image.target, size: 9 * 1024 * 1024 };
  await assert.rejects(registry.fetch(`${server.host}/a:1`, large, 0, {}, signal), { code: 'resource-exhausted' });
});

test('a host that answers nothing, or stops in the middle, is given up in time', async (t) => {
  const { registry } = await scratch(t, {
    timeouts: { dial: 2000, header: 150, idle: 150 },
    retries: { attempts: 2, firstDelay: 5, maxDelay: 10 },
  });
  const mute = await raw(t, (socket: { resume(): void }) => socket.resume());
  await assert.rejects(registry.resolve(`${mute}/a:1`, { plainHttp: true }, signal), {
    code: 'unavailable',
    message: `registry "${mute}": no answer within 0 seconds`,
  });
  await using server = await serve((_request, response) => {
    response.writeHead(200, { 'content-length': layerBytes.length });
    response.write(layerBytes.subarray(0, 10));
  });
  await assert.rejects(async () => bytes(await registry.fetch(`${server.host}/a:1`, layer, 0, {}, signal)), {
    code: 'unavailable',
    message: /sent nothing for 0 seconds/,
  });
});

test('a TLS handshake that does not end is given up in time', async (t) => {
  const { registry } = await scratch(t, { timeouts: { dial: 150 }, retries: { attempts: 1 } });
  const mute = await raw(t, (socket: { resume(): void }) => socket.resume());
  await assert.rejects(registry.resolve(`${mute}/a:1`, {}, signal), {
    code: 'unavailable',
    message: `registry "${mute}": no connection within 0 seconds`,
  });
});

test('a reader who takes his time is not taken for a silent registry', async (t) => {
  const { registry } = await scratch(t, { timeouts: { idle: 100 } });
  const big = Buffer.alloc(4 * 1024 * 1024, 7);
  await using server = await serve((_request, response) => void response.end(big));
  let size = 0;
  const target = { ...layer, size: big.length };
  for await (const chunk of await registry.fetch(`${server.host}/a:1`, target, 0, {}, signal)) {
    if (size === 0) await new Promise((resolve) => setTimeout(resolve, 300));
    size += chunk.length;
  }
  assert.equal(size, big.length);
  assert.equal(server.requests.length, 1);
});

test('a caller who leaves ends the request, whatever it waits for', async (t) => {
  const { registry } = await scratch(t);
  const mute = await raw(t, (socket: { resume(): void }) => socket.resume());
  await assert.rejects(registry.resolve(`${mute}/a:1`, { plainHttp: true }, AbortSignal.timeout(50)), {
    name: 'TimeoutError',
  });
  await using server = await serve((_request, response) => void response.writeHead(503, { 'retry-after': '1' }).end());
  await assert.rejects(registry.resolve(`${server.host}/a:1`, {}, AbortSignal.timeout(50)), { name: 'TimeoutError' });
});

test('an upload that is cut begins again; one that is refused in the middle says why', async (t) => {
  const { registry } = await scratch(t);
  const big = Buffer.alloc(3 * 1024 * 1024, 7);
  const target = { ...layer, size: big.length };
  let starts = 0;
  const received: number[] = [];
  await using server = await serve(async (request, response) => {
    if (request.method === 'HEAD') return void response.writeHead(404).end();
    if (request.method === 'POST')
      return void response.writeHead(202, { location: `/upload/${++starts}?state=a` }).end();
    if (request.url?.startsWith('/upload/1?') === true) return void request.socket.destroy();
    let size = 0;
    for await (const chunk of request) size += (chunk as Buffer).length;
    received.push(size);
    response.writeHead(201).end();
  });
  const data = async function* (): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < big.length; at += 65536) yield big.subarray(at, at + 65536);
  };
  assert.equal(await registry.pushBlob(`${server.host}/a:1`, target, data, {}, signal), 'pushed');
  assert.deepEqual([starts, received], [2, [big.length]]);
  assert.match(server.requests.at(-1)?.url ?? '', /^\/upload\/2\?state=a&digest=sha256/);

  await using strict = await serve((request, response) => {
    if (request.method === 'HEAD') return void response.writeHead(404).end();
    if (request.method === 'POST') return void response.writeHead(202, { location: '/upload' }).end();
    response.writeHead(403).end('{"errors":[{"code":"DENIED","message":"quota exceeded"}]}');
  });
  await assert.rejects(registry.pushBlob(`${strict.host}/a:1`, target, data, {}, signal), {
    code: 'permission-denied',
    message: new RegExp(`push access denied for blob "${layer.digest}" of "a": DENIED: quota exceeded$`),
  });
});

test('an upload that is sent elsewhere takes no login along', async (t) => {
  const { registry } = await scratch(t);
  await using storage = await serve(async (request, response) => {
    for await (const _ of request);
    response.writeHead(201).end();
  });
  await using server = await serve((request, response) => {
    if (request.headers.authorization === undefined)
      return void response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    if (request.method === 'HEAD') return void response.writeHead(404).end();
    response.writeHead(202, { location: `${storage.url}/put?key=1` }).end();
  });
  const data = async function* (): AsyncGenerator<Uint8Array> {
    yield layerBytes;
  };
  assert.equal(await registry.pushBlob(`${server.host}/a:1`, layer, data, { credentials: testUser }, signal), 'pushed');
  assert.equal(storage.requests[0]?.headers.authorization, undefined);
});

test('a foreign layer that the registry does not have comes from where its manifest says, without a login', async (t) => {
  const { registry } = await scratch(t);
  const data = Buffer.from('foreign waters');
  const digest = `sha256:${createHash('sha256').update(data).digest('hex')}`;
  await using far = await serve((_request, response) => void response.end(data));
  await using near = await serve((request, response) => {
    if (request.headers.authorization === undefined)
      return void response.writeHead(401, { 'www-authenticate': 'Basic realm="near"' }).end();
    response.writeHead(404).end();
  });
  const urls = ['no address', `${near.url}/gone`, `${far.url.replace('http://', 'http://me:word@')}/layer`];
  const mediaType = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
  const fetch = async (target: Descriptor): Promise<string> => {
    const chunks: Uint8Array[] = [];
    const options = { credentials: testUser };
    for await (const chunk of await registry.fetch(`${near.host}/a:1`, target, 8, options, signal)) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  };
  const target: Descriptor = { mediaType, digest, size: data.length, urls };
  assert.equal(await fetch(target), 'waters');
  assert.equal(far.requests[0]?.headers.authorization, undefined);
  const asked = far.requests.length;
  await assert.rejects(fetch({ ...target, mediaType: 'application/vnd.oci.image.layer.v1.tar' }), {
    code: 'not-found',
  });
  assert.equal(far.requests.length, asked);
  await assert.rejects(fetch({ ...target, urls: [`${near.url}/gone`] }), { code: 'not-found' });
});
