import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { HakoError } from '#base/errors.ts';
import type { NetworkDriver, NetworkStatus } from '#core/network.ts';
import type { RootfsReader } from '#core/rootfs.ts';
import type { Streams } from '#core/streams.ts';
import { call, container, openBridge, upload, type Bridge } from '../../../test/support/bridge.ts';
import { leased } from './create-lease.ts';
import { Engine } from './engine.ts';
import type { ContainerRequest } from './types.ts';
import type { EngineHouse, EngineParts } from './house.ts';

const passwd = 'root:x:0:0::/:/bin/sh\nweb:x:33:34::/:/bin/sh\n';

/** What the engine asks of a root file system, without one. */
const rootfs: RootfsReader = {
  readFiles: async () => [Buffer.from(passwd), undefined],
  readFilesOf: async () => [Buffer.from(passwd), undefined],
  copyUp: async () => false,
};

/** Nobody attaches here. */
const streams = { createFifo: async () => {} } as unknown as Streams;

/** Remembers who is connected. */
class FakeNetwork implements Partial<NetworkDriver> {
  readonly attached = new Map<string, NetworkStatus>();
  failure: Error | undefined;

  createNetns = async (namespace: string, id: string): Promise<string> => `/netns/${namespace}/${id}`;
  removeNetns = async (): Promise<void> => {};
  detach = async (namespace: string, id: string): Promise<void> => void this.attached.delete(`${namespace}/${id}`);
  status = (namespace: string, id: string): NetworkStatus | undefined => this.attached.get(`${namespace}/${id}`);
  list = async (): Promise<{ namespace: string; id: string }[]> =>
    [...this.attached.keys()].map((key) => ({ namespace: key.split('/')[0] ?? '', id: key.split('/')[1] ?? '' }));

  attach: NetworkDriver['attach'] = async ({ namespace, id, network, ports, macAddress = '' }) => {
    if (this.failure !== undefined) throw this.failure;
    const status = {
      network,
      interfaceName: 'eth0',
      ipAddress: '10.0.0.2',
      prefixLength: 16,
      gateway: '10.0.0.1',
      macAddress,
      dns: [],
      ports,
    };
    this.attached.set(`${namespace}/${id}`, status);
    return status;
  };
}

function engineOver(bridge: Bridge, network: FakeNetwork): Engine {
  const missing = {} as never;
  const parts: EngineParts = {
    ...bridge,
    diffs: missing,
    pulls: missing,
    pushes: missing,
    introspection: missing,
    network: network as unknown as NetworkDriver,
    rootfs,
    streams,
    defaultSnapshotter: 'overlayfs',
    state: join(bridge.root, 'state'),
    signal: call.signal,
  };
  return new Engine(parts);
}

/** An image without layers, under one name. */
async function makeImage(bridge: Bridge, name: string): Promise<void> {
  const digest = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;
  const config = JSON.stringify({
    os: 'linux',
    architecture: 'amd64',
    config: { Cmd: ['serve'], Env: ['A=1'] },
    rootfs: { type: 'layers', diff_ids: [] },
  });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digest(config), size: config.length },
    layers: [],
  });
  const target = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: digest(manifest),
    size: manifest.length,
  };
  // The manifest holds its config, the image its manifest, as a pull would label them.
  await upload(bridge, call, config);
  await upload(bridge, call, manifest, { 'containerd.io/gc.ref.content.config': digest(config) });
  await bridge.images.create(call, { name, labels: {}, target });
}

const noStdio = { stdin: '', stdout: '', stderr: '', terminal: false };
const request = (more: object = {}): ContainerRequest => ({ Image: 'ark', HostConfig: {}, ...more });

async function open(): Promise<{ bridge: Bridge; network: FakeNetwork; engine: Engine } & AsyncDisposable> {
  const bridge = await openBridge();
  const network = new FakeNetwork();
  const engine = engineOver(bridge, network);
  await makeImage(bridge, 'docker.io/library/ark:latest');
  return {
    bridge,
    network,
    engine,
    [Symbol.asyncDispose]: async () => {
      await engine.close();
      await bridge[Symbol.asyncDispose]();
    },
  };
}

const state = async (engine: Engine, ref: string): Promise<Record<string, unknown>> =>
  (await engine.inspect(call, ref, { size: false }))['State'] as Record<string, unknown>;

test('a container that Docker made is an ordinary one of containerd', async () => {
  await using house = await open();
  const { id } = await house.engine.create(call, 'web', request({ Labels: { a: 'b' } }));
  assert.match(id, /^[0-9a-f]{64}$/);
  const made = house.bridge.containers.get(call, id);
  assert.deepEqual(
    [made.image, made.snapshotKey, made.labels['nerdctl/name'], made.labels['a']],
    ['docker.io/library/ark:latest', id, 'web', 'b'],
  );
  const spec = JSON.parse(Buffer.from(made.spec?.value ?? '').toString()) as { process: { args: string[] } };
  assert.deepEqual(spec.process.args, ['serve']);
  for (const ref of ['web', '/web', id, id.slice(0, 6)])
    assert.equal((await house.engine.inspect(call, ref, { size: false }))['Id'], id);
  assert.deepEqual([...house.bridge.leases.list(call, [])], []);
});

test('a name is given once, and a refused container leaves nothing', async () => {
  await using house = await open();
  const { id } = await house.engine.create(call, 'web', request());
  await assert.rejects(house.engine.create(call, 'web', request()), {
    code: 'conflict',
    message: `Conflict. The container name "/web" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.`,
  });
  await assert.rejects(house.engine.create(call, 'other', request({ User: 'ghost' })), /unable to find user ghost/);
  await assert.rejects(house.engine.create(call, '', { Image: 'nosuch' }), {
    code: 'not-found',
    message: 'No such image: nosuch:latest',
  });
  assert.equal([...house.bridge.containers.list(call, [])].length, 1);
  assert.equal([...house.bridge.snapshots.list(call, 'overlayfs', [])].length, 1);
  assert.deepEqual([...house.bridge.leases.list(call, [])], []);
  // The name of the one that failed is free again.
  await house.engine.create(call, 'other', request());
});

test('a run goes from start to exit, its task is freed, and its state stays', async () => {
  await using house = await open();
  const { id } = await house.engine.create(call, 'web', request());
  const { exit } = await house.engine.wait(call, id, 'next-exit');
  await house.engine.start(call, 'web');
  await assert.rejects(house.engine.start(call, 'web'), { code: 'not-modified' });
  assert.equal((await state(house.engine, 'web'))['Status'], 'running');
  assert.equal(house.network.attached.size, 1);
  house.bridge.runtime.end('default', id, 3);
  assert.deepEqual(await exit, { statusCode: 3 });
  await house.engine.stop(call, 'web', {}).catch(() => {});
  await house.engine.close();
  const ended = await state(house.engine, 'web');
  assert.deepEqual([ended['Status'], ended['ExitCode']], ['exited', 3]);
  assert.equal(house.network.attached.size, 0);
  assert.deepEqual(await house.bridge.tasks.list(call), []);
});

test('--rm removes a container with its volumes when it ends, and tells who waits for that', async () => {
  await using house = await open();
  const { id } = await house.engine.create(
    call,
    '',
    request({ HostConfig: { AutoRemove: true }, Volumes: { '/data': {} } }),
  );
  const { exit } = await house.engine.wait(call, id, 'removed');
  await house.engine.start(call, id);
  house.bridge.runtime.end('default', id, 7);
  assert.deepEqual(await exit, { statusCode: 7 });
  await assert.rejects(house.engine.inspect(call, id, { size: false }), {
    code: 'not-found',
    message: `No such container: ${id}`,
  });
  assert.deepEqual([...house.bridge.snapshots.list(call, 'overlayfs', [])], []);
});

test('a command that is missing leaves a created container with exit code 127, or none with --rm', async () => {
  await using house = await open();
  house.bridge.runtime.failures.set(
    'create',
    new HakoError('not-found', 'exec: "serve": executable file not found in $PATH'),
  );
  const { id } = await house.engine.create(call, 'web', request());
  await assert.rejects(house.engine.start(call, id), {
    code: 'invalid-argument',
    message: 'failed to create task for container: exec: "serve": executable file not found in $PATH',
  });
  const failed = await state(house.engine, 'web');
  assert.deepEqual([failed['Status'], failed['ExitCode']], ['created', 127]);
  assert.equal(house.network.attached.size, 0);
  const second = await house.engine.create(call, '', request({ HostConfig: { AutoRemove: true } }));
  await assert.rejects(house.engine.start(call, second.id), /executable file not found/);
  await assert.rejects(house.engine.inspect(call, second.id, { size: false }), { code: 'not-found' });
});

test('a network that cannot be had starts nothing and keeps nothing', async () => {
  await using house = await open();
  house.network.failure = new HakoError('failed-precondition', 'CNI plugin "bridge" not found');
  const { id } = await house.engine.create(call, 'web', request());
  await assert.rejects(house.engine.start(call, id), /CNI plugin "bridge" not found/);
  assert.deepEqual(await house.bridge.tasks.list(call), []);
  house.network.failure = undefined;
  await house.engine.start(call, id);
  await house.engine.remove(call, id, { force: true, volumes: false });
});

test('what ended while the daemon was away is tidied up when it comes back', async () => {
  const house = await open();
  const { id } = await house.engine.create(call, '', request({ HostConfig: { AutoRemove: true } }));
  const stays = await house.engine.create(call, 'stays', request());
  await house.engine.start(call, id);
  await house.engine.start(call, stays.id);
  await house.engine.close();
  house.network.attached.set('default/leaked', {} as NetworkStatus);
  house.bridge.runtime.end('default', id, 0);
  await using next = await house.bridge.restart();
  const engine = engineOver(next, house.network);
  await next.tasks.reconcile(call.signal);
  await engine.reconcile(call.signal);
  await engine.close();
  await assert.rejects(engine.inspect(call, id, { size: false }), { code: 'not-found' });
  assert.equal((await state(engine, 'stays'))['Status'], 'running');
  assert.deepEqual([...house.network.attached.keys()], [`default/${stays.id}`]);
});

test('what a kill cut off in the making is dropped when the daemon comes back', async () => {
  const house = await open();
  const never = await house.engine.create(call, '', request({ HostConfig: { AutoRemove: true } }));
  const waits = await house.engine.create(call, 'waits', request());
  // As a kill leaves them: tasks that were made, but not started, of ours and of a client at another door,
  await house.bridge.tasks.create(call, { id: waits.id, rootfs: [], stdio: noStdio });
  await container(house.bridge, 'fromctr');
  const stdio = { ...noStdio, stdout: '/fifo' };
  await house.bridge.tasks.create(call, { id: 'fromctr', rootfs: [], stdio });
  // what a container in the making holds, and what a client's own lease holds.
  const undo = new AsyncDisposableStack();
  await leased({ ...house.bridge, state: house.bridge.root } as unknown as EngineHouse, call, undo);
  undo.move();
  const mine = await house.bridge.leases.create(call, 'mine', {});
  await house.engine.close();
  await using next = await house.bridge.restart();
  const engine = engineOver(next, house.network);
  await next.tasks.reconcile(call.signal);
  await engine.reconcile(call.signal);
  await engine.close();
  await assert.rejects(engine.inspect(call, never.id, { size: false }), { code: 'not-found' });
  assert.equal((await engine.inspect(call, 'waits', { size: false }))['Id'], waits.id);
  assert.deepEqual(
    (await next.tasks.list(call)).map((task) => task.containerId),
    ['fromctr'],
  );
  assert.deepEqual(
    [...next.leases.list(call, [])].map(({ id }) => id),
    [mine.id],
  );
});

test('a container of another door is shown, killed and removed like any', async () => {
  await using house = await open();
  await container(house.bridge, 'fromctr');
  const listed = await house.engine.list(call, { all: true, limit: 0, size: false, filters: new Map() });
  assert.deepEqual(
    listed.map((one) => [one['Names'], one['State']]),
    [[['/fromctr'], 'created']],
  );
  await house.bridge.tasks.create(call, {
    id: 'fromctr',
    rootfs: [],
    stdio: { stdin: '', stdout: '/fifo', stderr: '', terminal: false },
  });
  await house.bridge.tasks.start(call, 'fromctr', '');
  await assert.rejects(house.engine.remove(call, 'fromctr', { force: false, volumes: false }), {
    code: 'conflict',
    message:
      'cannot remove container "fromctr": container is running: stop the container before removing or force remove',
  });
  await house.engine.kill(call, 'fromctr', 'KILL');
  // Its client removes the task by itself.
  assert.equal((await house.bridge.tasks.list(call)).length, 1);
  await house.engine.remove(call, 'fromctr', { force: false, volumes: false });
  assert.deepEqual([...house.bridge.containers.list(call, [])], []);
});

test('a stopped container can be renamed, and is found by its new name alone', async () => {
  await using house = await open();
  const { id } = await house.engine.create(call, 'old', request());
  await house.engine.create(call, 'taken', request());
  await assert.rejects(house.engine.rename(call, 'old', 'taken'), { code: 'conflict' });
  await house.engine.rename(call, 'old', 'new');
  assert.equal((await house.engine.inspect(call, 'new', { size: false }))['Id'], id);
  await assert.rejects(house.engine.inspect(call, 'old', { size: false }), { code: 'not-found' });
  assert.equal(house.bridge.containers.get(call, id).labels['nerdctl/name'], 'new');
});

test('an image that a container was made from is removed only when forced', async () => {
  await using house = await open();
  const { id } = await house.engine.create(call, 'web', request());
  await assert.rejects(
    house.engine.imageRemove(call, 'ark', { force: false, prune: true }),
    /\(must force\) - container .* is using its referenced image/,
  );
  await house.engine.imageTag(call, 'ark', 'ark:v2');
  assert.deepEqual(await house.engine.imageRemove(call, 'ark:v2', { force: false, prune: true }), [
    { Untagged: 'ark:v2' },
  ]);
  await house.engine.remove(call, id, { force: false, volumes: false });
  const removed = await house.engine.imageRemove(call, 'ark', { force: false, prune: true });
  assert.deepEqual(removed[0], { Untagged: 'ark:latest' });
  assert.match(String(removed[1]?.['Deleted']), /^sha256:/);
  assert.deepEqual(await house.engine.images(call, { all: false, filters: new Map() }), []);
});

test('of an image with several names those are shown that were asked for', async () => {
  await using house = await open();
  await house.engine.imageTag(call, 'ark', 'boat/ark:v2');
  const filters = new Map([['reference', ['boat/ark']]]);
  const shown = await house.engine.images(call, { all: false, filters });
  assert.deepEqual(shown[0]?.['RepoTags'], ['boat/ark:v2']);
});

test('inspect shows what was taken where nothing was asked for', async () => {
  await using house = await open();
  const nothing = { ShmSize: 0, PidsLimit: 0, MemorySwappiness: -1, LogConfig: { Type: '', Config: {} } };
  const { id } = await house.engine.create(call, 'web', request({ HostConfig: nothing }));
  const shown = (await house.engine.inspect(call, id, { size: false }))['HostConfig'] as Record<string, unknown>;
  assert.equal(shown['ShmSize'], 64 * 1024 * 1024);
  assert.equal(shown['PidsLimit'], null);
  assert.equal(shown['MemorySwappiness'], null);
  assert.deepEqual(shown['LogConfig'], { Type: 'json-file', Config: {} });
});

test('a container is found by the port of the host that leads to it', async () => {
  await using house = await open();
  const PortBindings = { '80/tcp': [{ HostPort: '8097' }] };
  const { id } = await house.engine.create(call, 'web', request({ HostConfig: { PortBindings } }));
  await house.engine.start(call, id);
  const found = async (publish: string): Promise<number> => {
    const filters = new Map([['publish', [publish]]]);
    return (await house.engine.list(call, { all: false, limit: 0, size: false, filters })).length;
  };
  assert.deepEqual([await found('8097'), await found('8000-8100/tcp')], [1, 1]);
  assert.deepEqual([await found('80'), await found('8097/udp')], [0, 0]);
  await assert.rejects(found('http'), { code: 'invalid-argument' });
});

test('a hardware address reaches the network, by whatever name the client calls that', async () => {
  await using house = await open();
  const EndpointsConfig = { default: { MacAddress: '02:42:ac:11:00:99' } };
  const asked = { HostConfig: { NetworkMode: 'default' }, NetworkingConfig: { EndpointsConfig } };
  const { id } = await house.engine.create(call, 'web', request(asked));
  await house.engine.start(call, id);
  assert.equal(house.network.status('default', id)?.macAddress, '02:42:ac:11:00:99');
});

test('an address of its own is refused on the default network', async () => {
  await using house = await open();
  const asked = { HostConfig: { NetworkMode: 'default' } };
  const EndpointsConfig = { default: { IPAMConfig: { IPv4Address: '192.0.2.7' } } };
  await assert.rejects(
    house.engine.create(call, 'web', request({ ...asked, NetworkingConfig: { EndpointsConfig } })),
    /user defined networks only/,
  );
});

test('events are told in the words of Docker', async () => {
  await using house = await open();
  const over = new AbortController();
  const events = house.engine.events({ ...call, signal: over.signal }, new Map([['type', ['container']]]));
  const { id } = await house.engine.create(call, 'web', request());
  await house.engine.start(call, id);
  house.bridge.runtime.end('default', id, 5);
  const seen: [unknown, unknown][] = [];
  for await (const event of events) {
    const actor = event['Actor'] as { Attributes: Record<string, string> };
    seen.push([event['Action'], actor.Attributes['name']]);
    if (event['Action'] === 'die') {
      assert.equal(actor.Attributes['exitCode'], '5');
      over.abort();
    }
  }
  assert.deepEqual(seen, [
    ['create', 'web'],
    ['start', 'web'],
    ['die', 'web'],
  ]);
});
