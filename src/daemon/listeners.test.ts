import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect as connectHttp2, type SecureClientSessionOptions } from 'node:http2';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { silent } from '#base/log.ts';
import { containerdDoor } from '#doors/containerd/door.ts';
import { containerdTtrpcDoor } from '#doors/containerd/ttrpc.ts';
import { Events as TtrpcEvents } from '#proto/gen/containerd/services/events/ttrpc/v1/events_pb.ts';
import { Events } from '#services/events.ts';
import type { Services } from '#services/services.ts';
import { GrpcServer } from '#wire/grpc-server.ts';
import { TtrpcClient } from '#wire/ttrpc-client.ts';
import { TtrpcServer } from '#wire/ttrpc-server.ts';
import { authority, captain, server as serverCertificate, stranger } from '../../test/support/certificates.ts';
import { defaultConfig } from './config/load.ts';
import type { Config } from './config/schema.ts';
import { serveDebug } from './debug.ts';
import { parseTcpAddress, tlsOptions } from './listeners.ts';

test('a TCP address is read as Go reads it', () => {
  assert.deepEqual(parseTcpAddress('127.0.0.1:1234'), { host: '127.0.0.1', port: 1234 });
  assert.deepEqual(parseTcpAddress(':0'), { host: '', port: 0 });
  assert.deepEqual(parseTcpAddress('[::1]:80'), { host: '::1', port: 80 });
  for (const wrong of ['localhost', '1.2.3.4:', ':65536', '::1:80', 'a:b']) {
    assert.throws(() => parseTcpAddress(wrong), { code: 'invalid-argument' }, wrong);
  }
});

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'hako-listeners-'));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

type Grpc = Config['grpc'];

async function settings(t: TestContext, values: Partial<Grpc>): Promise<Grpc> {
  const home = await directory(t);
  const write = async (name: string, text: string): Promise<string> => {
    await writeFile(join(home, name), text);
    return join(home, name);
  };
  const tcp_tls_cert = await write('cert', serverCertificate.cert);
  const tcp_tls_key = await write('key', serverCertificate.key);
  return { ...defaultConfig().grpc, tcp_tls_cert, tcp_tls_key, ...values };
}

/** A TCP server with these settings; asking it gives the HTTP status, or undefined when it turns the client away. */
async function house(t: TestContext, grpc: Grpc): Promise<(client: SecureClientSessionOptions) => Promise<unknown>> {
  const tls = tlsOptions(grpc);
  const server = new GrpcServer(containerdDoor({} as Services), silent, tls === undefined ? {} : { tls });
  const port = await server.listenTcp('127.0.0.1', 0);
  t.after(() => server.close(0));
  return async (client) => {
    const session = connectHttp2(`${tls === undefined ? 'http' : 'https'}://localhost:${port}`, client);
    try {
      return await new Promise((resolve) => {
        session.on('error', () => resolve(undefined));
        session.on('close', () => resolve(undefined));
        const path = '/grpc.health.v1.Health/Check';
        const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' });
        stream.on('error', () => resolve(undefined));
        stream.on('response', (headers) => resolve(headers[':status']));
        stream.end(Buffer.alloc(5));
      });
    } finally {
      session.destroy();
    }
  };
}

test('TCP is plain without a certificate, and TLS with one', async (t) => {
  const plain = await house(t, defaultConfig().grpc);
  assert.equal(await plain({}), 200);
  const secure = await house(t, await settings(t, {}));
  assert.equal(await secure({ ca: authority }), 200);
  assert.equal(await secure({}), undefined, 'a server whose authority is unknown');
});

test('with an authority every client needs a certificate, and the name on it if one is wanted', async (t) => {
  const home = await directory(t);
  const tcp_tls_ca = join(home, 'ca');
  await writeFile(tcp_tls_ca, authority);
  const mutual = await house(t, await settings(t, { tcp_tls_ca }));
  assert.equal(await mutual({ ca: authority }), undefined);
  assert.equal(await mutual({ ca: authority, ...stranger }), 200);
  const named = await house(t, await settings(t, { tcp_tls_ca, tcp_tls_common_name: 'captain' }));
  assert.equal(await named({ ca: authority, ...stranger }), undefined);
  assert.equal(await named({ ca: authority, ...captain }), 200);
});

test('TLS keys that do not go together are refused by name', async (t) => {
  const grpc = defaultConfig().grpc;
  assert.throws(() => tlsOptions({ ...grpc, tcp_tls_ca: '/ca' }), /tcp_tls_cert is missing/);
  assert.throws(() => tlsOptions({ ...grpc, tcp_tls_cert: '/c' }), /tcp_tls_key is missing/);
  assert.throws(() => tlsOptions({ ...grpc, tcp_tls_cert: '/none', tcp_tls_key: '/none' }), /tcp_tls_cert: .*ENOENT/);
  const named = await settings(t, { tcp_tls_common_name: 'captain' });
  assert.throws(() => tlsOptions(named), /without grpc\.tcp_tls_ca/);
});

test('an event that a shim forwards is told with its own time and namespace', async (t) => {
  const path = join(await directory(t), 's');
  const events = new Events();
  const server = new TtrpcServer(silent);
  containerdTtrpcDoor({ events }, server);
  await server.listen({ path });
  t.after(() => server.close());
  const client = await TtrpcClient.connect(path);
  t.after(() => client.close());
  const stop = new AbortController();
  const heard = events.subscribe([], stop.signal)[Symbol.asyncIterator]();
  const event = { typeUrl: 'containerd.events.TaskOOM', value: new Uint8Array([0x0a, 1, 0x78]) };
  const timestamp = { seconds: 7n, nanos: 123_456_789 };
  await client.service(TtrpcEvents).forward({ envelope: { timestamp, namespace: 'blue', topic: '/tasks/oom', event } });
  const { value } = await heard.next();
  assert.deepEqual(
    [value?.timestamp.getTime(), value?.nanos, value?.namespace, value?.topic],
    [7123, 456_789, 'blue', '/tasks/oom'],
  );
  assert.deepEqual(value?.payload, { kind: 'any', any: event });
  await assert.rejects(client.service(TtrpcEvents).forward({}), { code: 'invalid-argument' });
});

test('the debug socket gives profiles', async (t) => {
  const socketPath = join(await directory(t), 's');
  const debug = serveDebug();
  await debug.listen(socketPath);
  t.after(() => debug.close());
  const get = (path: string): Promise<{ status: number; body: string }> =>
    new Promise((resolve, reject) => {
      request({ socketPath, path }, (response) => {
        response
          .toArray()
          .then(
            (chunks) =>
              resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks as Buffer[]).toString() }),
            reject,
          );
      })
        .on('error', reject)
        .end();
    });
  assert.match((await get('/')).body, /cpuprofile/);
  assert.equal((JSON.parse((await get('/debug/vars')).body) as { pid: number }).pid, process.pid);
  const profile = JSON.parse((await get('/debug/pprof/profile?seconds=0.05')).body) as { nodes: unknown[] };
  assert.ok(profile.nodes.length > 0);
  assert.equal((await get('/debug/pprof/profile?seconds=0')).status, 400);
  assert.equal((await get('/nothing')).status, 404);
});
