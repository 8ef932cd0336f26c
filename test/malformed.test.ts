// Requests that no client should send: each is an error of its own, and of nobody and nothing else.
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { gzipSync } from 'node:zlib';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { ClientHttp2Session } from 'node:http2';
import { startDaemon, type PrivateDaemon } from '../scripts/lib/daemon.mjs';
import { codeOf } from '#base/errors.ts';
import { Containers } from '#proto/gen/containerd/services/containers/v1/containers_pb.ts';
import { Content, WriteAction } from '#proto/gen/containerd/services/content/v1/content_pb.ts';
import { Images } from '#proto/gen/containerd/services/images/v1/images_pb.ts';
import { Leases } from '#proto/gen/containerd/services/leases/v1/leases_pb.ts';
import { Snapshots } from '#proto/gen/containerd/services/snapshots/v1/snapshots_pb.ts';
import { Tasks } from '#proto/gen/containerd/services/tasks/v1/tasks_pb.ts';
import { GrpcClient } from '#wire/grpc-client.ts';
import {
  attack,
  canariesBelow,
  headerBlock,
  http2Frame,
  inParallel,
  layDecoys,
  loopsWithin,
  megabytesOf,
  mountsOutside,
  preface,
  say,
  tree,
} from './support/attacker.ts';
import { elsewhere } from './support/daemon.ts';
import {
  badMessages,
  canary,
  goodBytes,
  hostileTexts,
  nested,
  noisyMessages,
  random,
  type Bad,
  type World,
} from './support/malformed.ts';
import { openSession } from './support/wire-probe.ts';

const seed = Number(process.env['HAKO_SEED'] ?? 1);
const blob = Buffer.from('{"schemaVersion":2}');
const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`;

/** Every service whose messages the house has, with the two of its own left in. */
const services: DescService[] = [];
for (const file of globSync('src/proto/gen/{containerd/services,hakobune,grpc}/**/*_pb.ts', {
  cwd: path.join(import.meta.dirname, '..'),
})) {
  if (file.includes('ttrpc')) continue;
  const all = (await import(path.join(import.meta.dirname, '..', file))) as Record<string, { kind?: string }>;
  for (const one of Object.values(all)) if (one.kind === 'service') services.push(one as unknown as DescService);
}

const done = new Set<DescService>();

/** What containerd, too, has no code for. */
const fair =
  /: E[A-Z0-9]+$|^type with url |^can't unmarshal type |^proto: |^failed to create shim task: |^lease "x+|^failed to set label|are allowed$|(?:key|object|bucket name) required$|key too large$|^failed to get stream processor|^subscription error|^filters?:? |parse error|^EOF$|^failed to unmarshal plugin info|^write error: |sandbox can not be nil|openat2 /s;

/** Calls that go on until somebody leaves. */
const lasting = new Set(['Subscribe', 'Watch', 'Wait', 'Stream', 'Read', 'Write']);

describe('malformed requests', { skip: elsewhere ?? (process.getuid?.() === 0 ? false : 'needs root') }, () => {
  let daemon: PrivateDaemon;
  let session: ClientHttp2Session;
  let client: GrpcClient;
  let world: World;
  const dir = mkdtempSync(path.join(tmpdir(), 'hm-'));
  const own = ['house/root', 'house/state', 'house/config.toml'].map((name) => path.join(dir, name));
  const decoys = path.join(dir, 'decoys');

  before(async () => {
    daemon = await startDaemon({ dir: path.join(dir, 'house'), args: ['--log-level', 'info'] });
    // Beside root and state, above them, and within them: wherever some dots and slashes may lead.
    layDecoys(decoys);
    layDecoys(path.join(dir, 'house/decoys'));
    session = openSession(daemon.address);
    client = new GrpcClient(daemon.address, { 'containerd-namespace': 'attack' });
    const names = { id: 'c1', container_id: 'c1', exec_id: 'e1', name: 'n1', key: 'k1', snapshotter: 'overlayfs' };
    const types = {
      type: 'bind',
      source: path.join(decoys, 'absent'),
      media_type: 'application/vnd.oci.image.layer.v1.tar',
    };
    const strings = {
      ...names,
      ...types,
      digest,
      expected: digest,
      ref: 'r1',
      'Snapshot.name': 's1',
      topic: '/a/b',
      namespace: 'attack',
    };
    const special = {
      'Namespace.name': 'other',
      'Runtime.name': 'io.containerd.runc.v2',
      'Resource.type': 'content',
      'Resource.id': digest,
    };
    world = {
      digest,
      size: blob.length,
      decoys,
      strings: { ...strings, ...special, sandbox_id: 'sb1', sandboxer: 'podsandbox' },
    };
  });
  after(async () => {
    session?.destroy();
    client?.close();
    const left = await daemon?.end();
    rmSync(dir, { recursive: true, force: true });
    assert.deepEqual(left, []);
  });

  /** What well-meant ids name; whatever the last attack took away comes back. */
  async function restore(): Promise<void> {
    const there = async (call: Promise<unknown>): Promise<void> => {
      await call.catch((error: unknown) => assert.equal(codeOf(error), 'already-exists', String(error)));
    };
    const spec = { typeUrl: 'types.containerd.io/opencontainers/runtime-spec/1/Spec', value: Buffer.from('{}') };
    const target = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: BigInt(blob.length) };
    await there(client.service(Leases).create({ id: 'c1' }));
    const write = { action: WriteAction.COMMIT, ref: 'w', total: BigInt(blob.length), expected: digest, data: blob };
    await there(
      Array.fromAsync(
        client.service(Content).write(
          (async function* () {
            yield write;
          })(),
        ),
      ),
    );
    await there(
      client.service(Containers).create({ container: { id: 'c1', runtime: { name: 'io.containerd.runc.v2' }, spec } }),
    );
    await there(client.service(Images).create({ image: { name: 'n1', target } }));
    await there(client.service(Snapshots).prepare({ snapshotter: 'overlayfs', key: 'k1' }));
  }

  const methods = services.flatMap((service) => service.methods.map((method) => ({ service, method })));
  const version = '/containerd.services.version.v1.Version/Version';

  /** Everything that must not change, and what must not be there. */
  const outside = (): unknown => [
    tree(dir, own),
    mountsOutside(tmpdir(), '/tmp', '/run'),
    loopsWithin(dir),
    canariesBelow(dir),
  ];

  /** The daemon is the one that we started, answers, and has written of no failure but those of the system's calls. */
  async function well(): Promise<void> {
    const fresh = openSession(daemon.address);
    assert.equal((await attack(fresh, version, [new Uint8Array()])).status, '0');
    fresh.destroy();
    process.kill(daemon.pid!, 0);
    const failures = daemon
      .log()
      .split('\n')
      .filter((line) => line.includes('"level":"error"'));
    const strange = failures.filter((line) => !/: E[A-Z0-9]+","stack"|failed to create shim task: /.test(line));
    assert.deepEqual(strange, []);
  }

  async function throwAll(service: DescService, method: DescMethod, all: Iterable<Bad>, headers = {}): Promise<void> {
    const target = `/${service.typeName}/${method.name}`;
    const patience = lasting.has(method.name) ? 100 : 20_000;
    await inParallel(all, 16, async ({ what, bytes }) => {
      // A layer of the whole machine is a wish that would be granted.
      if (/^(?:left|right|rootfs|mounts): source: "(?:\.|\.\.|\/|-rf)"/.test(what)) return;
      const { status, message } = await attack(session, target, [bytes], { patience, headers });
      const told = `${target} ${what}: ${status} ${message}`;
      if (status === '13') assert.match(message, /^grpc: error unmarshalling request: /, told);
      else if (status === '2') assert.match(message, fair, told);
      else assert.match(status, status === 'open' ? /./ : /^\d+$/, told);
      if (status === 'open') assert.ok(lasting.has(method.name), told);
    });
  }

  for (const part of ['containers|images|leases|namespaces', 'content|diff|snapshots|mounts', 'tasks|sandbox', '']) {
    const chosen = methods.filter(({ service }) =>
      part === '' ? !done.has(service) : new RegExp(`services\\.(?:${part})\\.`).test(service.typeName),
    );
    for (const { service } of chosen) done.add(service);
    const names = [...new Set(chosen.map(({ service }) => service.name))].join(', ');
    test(`nothing comes of any wrong field in a call to ${names}`, async () => {
      await restore();
      const before = outside();
      for (const { service, method } of chosen) {
        await restore();
        await throwAll(service, method, badMessages(method.input, world));
        await throwAll(service, method, noisyMessages(goodBytes(method.input, world), 30, random(seed)));
      }
      await well();
      assert.deepEqual(outside(), before);
    });
  }

  test('namespaces and leases of headers are checked as ids are', async () => {
    const before = outside();
    await restore();
    for (const [, text] of hostileTexts(world)) {
      const value = text.toString('latin1');
      if (/[\0\n]/.test(value) || value.length > 1000) continue;
      for (const name of ['containerd-namespace', 'containerd-lease'])
        for (const { service, method } of methods.filter(({ method: { name: verb } }) =>
          /^(?:Create|Prepare|Write|List)$/.test(verb),
        )) {
          const bytes = goodBytes(method.input, world);
          await throwAll(service, method, [{ what: `${name}: ${value}`, bytes }], { [name]: value });
        }
    }
    await well();
    assert.deepEqual(outside(), before);
  });

  test('runtimes and snapshotters are names, and never paths to what is run or made', async () => {
    const before = outside();
    const spec = { typeUrl: 'types.containerd.io/opencontainers/runtime-spec/1/Spec', value: Buffer.from('{}') };
    let n = 0;
    for (const name of [
      `../../${canary}`,
      'io.containerd.../../x.v2',
      'a/b',
      '/bin/sh',
      `${decoys}/there`,
      '__proto__',
      'io.containerd.runc.v2/../x',
      '--help',
    ]) {
      const id = `runtime${n++}`;
      await client.service(Containers).create({ container: { id, runtime: { name }, spec } });
      await assert.rejects(
        client.service(Tasks).create({ containerId: id }),
        (error) => codeOf(error) !== 'internal',
        name,
      );
      await assert.rejects(
        client.service(Snapshots).prepare({ snapshotter: name, key: id }),
        { code: 'invalid-argument' },
        name,
      );
    }
    await well();
    assert.deepEqual(outside(), before);
  });

  test('connections that speak HTTP/2 badly end, and others do not notice', async () => {
    const call = headerBlock(version);
    const big = headerBlock(version, { 'x-a': 'y'.repeat(16_000) });
    const flood = (one: Uint8Array, times: number): Buffer => Buffer.concat(Array.from({ length: times }, () => one));
    const next = random(seed);
    const bad: Buffer[] = [
      http2Frame(0, 0, 0, Buffer.alloc(5)),
      http2Frame(1, 4, 2, call),
      http2Frame(5, 4, 1, call),
      http2Frame(1, 4 + 8, 1, Buffer.from([255])),
      http2Frame(1, 5, 1, Buffer.alloc(8, 255)),
      http2Frame(3, 0, 0, Buffer.alloc(4)),
      http2Frame(4, 0, 0, Buffer.alloc(5)),
      http2Frame(4, 0, 0, Buffer.from([0, 4, 255, 255, 255, 255])),
      http2Frame(6, 0, 0, Buffer.alloc(7)),
      http2Frame(8, 0, 0, Buffer.alloc(4)),
      flood(http2Frame(8, 0, 0, Buffer.from([127, 255, 255, 255])), 2),
      Buffer.from([255, 255, 255, 0, 0, 0, 0, 0, 1]),
      Buffer.concat([http2Frame(1, 0, 1, call), flood(http2Frame(9, 0, 1), 1000)]),
      Buffer.concat([http2Frame(1, 0, 1, call), flood(http2Frame(9, 0, 1, big), 100)]),
      Buffer.concat([http2Frame(1, 4, 1, call), http2Frame(0, 8, 1, Buffer.from([255, 0]))]),
      Buffer.concat([http2Frame(1, 4, 1, call), flood(http2Frame(0, 0, 1), 10_000)]),
      flood(http2Frame(4, 0, 0), 20_000),
      flood(http2Frame(6, 0, 0, Buffer.alloc(8)), 20_000),
      flood(http2Frame(0x77, 255, 1, Buffer.alloc(1000)), 200),
      ...Array.from({ length: 100 }, () => Buffer.from(Array.from({ length: 300 }, () => next() * 256))),
    ];
    await inParallel(bad, 8, async (bytes) => void (await say(daemon.address, preface, bytes)));
    for (const cut of [0, 1, 20, 24, 30]) await say(daemon.address, preface.subarray(0, cut));
    await say(daemon.address, ...bad.slice(-20));
    await well();
  });

  test('messages that never end, lie about their length or swell are refused before they are in memory', async () => {
    const before = megabytesOf(daemon.pid!);
    const list = '/containerd.services.containers.v1.Containers/List';
    const half = Buffer.concat([Buffer.from([0, 1, 0, 0, 0]), Buffer.alloc(60_000)]);
    // One byte a frame.
    const tiny = Buffer.concat(Array.from({ length: 200_000 }, () => http2Frame(0, 0, 1, Buffer.from([1]))));
    await say(
      daemon.address,
      preface,
      http2Frame(1, 4, 1, headerBlock(list)),
      http2Frame(0, 0, 1, half.subarray(0, 5)),
      tiny,
    );
    const bomb = gzipSync(Buffer.alloc(256 << 20));
    const bombs = openSession(daemon.address);
    const packed = Buffer.concat([Buffer.from([1, 0, 0, 0, 0]), bomb]);
    packed.writeUInt32BE(bomb.length, 1);
    const answers = await Promise.all(Array.from({ length: 40 }, () => attackRaw(bombs, list, packed)));
    assert.deepEqual(new Set(answers), new Set(['8']));
    // Eight million messages of nothing, and one byte too many.
    for (const body of [Buffer.alloc((16 << 20) - 8, Buffer.from([0x0a, 0])), Buffer.alloc((16 << 20) + 1)])
      // Node's client may hear of the refusal only that the stream has ended.
      assert.match((await attack(bombs, '/containerd.services.diff.v1.Diff/Diff', [body])).status, /^(?:8|reset 0)$/);
    bombs.destroy();
    assert.ok(megabytesOf(daemon.pid!) - before < 400, `${before} MB became ${megabytesOf(daemon.pid!)}`);
    await well();
  });

  test('the socket of the shims takes no nonsense', async () => {
    const head = (length: number, stream: number, type: number, flags = 0): Buffer => {
      const bytes = Buffer.alloc(10);
      bytes.writeUInt32BE(length, 0);
      bytes.writeUInt32BE(stream, 4);
      bytes[8] = type;
      bytes[9] = flags;
      return bytes;
    };
    const socket = `${daemon.address}.ttrpc`;
    const next = random(seed);
    const bad = Array.from({ length: 256 }, (_, type) => [
      head(3, 1, type, 255 - type),
      Buffer.alloc(3, 255),
      head(2 ** 32 - 1, 3, 1),
      Buffer.from(Array.from({ length: 500 }, () => next() * 256)),
    ]);
    for (let n = 0; n < 50; n++) bad.push([Buffer.from(Array.from({ length: 500 }, () => next() * 256))]);
    await inParallel(bad, 16, async (pieces) => void (await say(socket, ...pieces)));
    for (const payload of [Buffer.alloc(50, 0x0a), nested(10_000)])
      await say(socket, head(payload.length, 1, 1), payload);
    await well();
  });

  test("Docker's door answers ids, queries and bodies that are none with an error of the caller's", async () => {
    const before = outside();
    const ids = ['..%2f..%2fx', '%00', '%ff', 'a'.repeat(5000), '%2e%2e', '__proto__', 'constructor', '-rf', 'a%0ab'];
    const looks = [
      'GET /containers/X/json',
      'GET /containers/X/logs?stdout=1',
      'GET /images/X/json',
      'GET /exec/X/json',
      'GET /containers/json?filters=X',
      'GET /events?until=1&filters=X',
      'DELETE /containers/X',
      'DELETE /images/X',
    ];
    const acts = [
      'POST /containers/X/start',
      'POST /containers/X/kill?signal=X',
      'POST /containers/create?name=X',
      'POST /images/X/tag?repo=../../x&tag=../y',
      'POST /auth',
      'POST /containers/X/resize?h=-1&w=99999999999',
    ];
    const bodies = [
      '',
      'null',
      '[]',
      '{',
      '{"Image":{}}',
      '{"Image":"x","HostConfig":{"Binds":"x"}}',
      '['.repeat(100_000),
      '{"__proto__":{"Image":"x"}}',
      '{"Image":"x","Env":[null],"Labels":[1],"HostConfig":{"Memory":1e400}}',
    ];
    const requests = [
      ...looks.map((line) => [line, '']),
      ...acts.flatMap((line) => bodies.map((body) => [line, body])),
    ];
    await inParallel(requests, 8, async ([line = '', body = '']) => {
      for (const id of ids) {
        const text = `${line.replaceAll('X', id)} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
        const answer = (await say(daemon.dockerAddress, text)).toString().split('\r\n')[0] ?? '';
        assert.match(answer, /^(?:HTTP\/1\.1 (?:[24]\d\d|501)|$)/, `${line} ${id} ${body.slice(0, 60)}`);
      }
    });
    for (const text of [
      'GET / HTTP/9.9\r\n\r\n',
      'GET //x/../../info HTTP/1.1\r\nHost: x\r\n\r\n',
      `GET /info HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(5000)}\r\n`,
      'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n',
      'CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n',
    ])
      await say(daemon.dockerAddress, text);
    await well();
    assert.deepEqual(outside(), before);
  });
});

/** A body as it is, prefix and all, in gzip. */
function attackRaw(session: ClientHttp2Session, target: string, body: Uint8Array): Promise<string> {
  const headers = {
    'content-type': 'application/grpc',
    te: 'trailers',
    'grpc-encoding': 'gzip',
    'containerd-namespace': 'a',
  };
  const stream = session.request({ ':method': 'POST', ':path': target, ...headers });
  let status = '';
  const hear = (got: Readonly<Record<string, string | string[] | undefined>>): void =>
    void (status = String(got['grpc-status'] ?? status));
  stream.on('response', hear);
  stream.on('trailers', hear);
  stream.on('error', () => {});
  stream.resume();
  stream.end(body);
  return new Promise((resolve) => stream.once('close', () => resolve(status)));
}
