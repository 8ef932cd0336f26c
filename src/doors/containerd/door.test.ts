import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AnySchema, timestampDate } from '@bufbuild/protobuf/wkt';
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Call } from '#base/call.ts';
import { HakoError, notFound } from '#base/errors.ts';
import { silent } from '#base/log.ts';
import { Containers } from '#proto/gen/containerd/services/containers/v1/containers_pb.ts';
import { Events } from '#proto/gen/containerd/services/events/v1/events_pb.ts';
import { Images } from '#proto/gen/containerd/services/images/v1/images_pb.ts';
import { Introspection } from '#proto/gen/containerd/services/introspection/v1/introspection_pb.ts';
import { Leases } from '#proto/gen/containerd/services/leases/v1/leases_pb.ts';
import { Namespaces } from '#proto/gen/containerd/services/namespaces/v1/namespaces_pb.ts';
import { Snapshots, Kind } from '#proto/gen/containerd/services/snapshots/v1/snapshots_pb.ts';
import { OptionsSchema } from '#proto/gen/containerd/runc/v1/options_pb.ts';
import { RuntimeInfoSchema, RuntimeRequestSchema } from '#proto/gen/containerd/types/introspection_pb.ts';
import { Introspection as IntrospectionFacts } from '#services/introspection.ts';
import { Tasks } from '#proto/gen/containerd/services/tasks/v1/tasks_pb.ts';
import { Status } from '#proto/gen/containerd/types/task/task_pb.ts';
import { Health, HealthCheckResponse_ServingStatus } from '#proto/gen/grpc/health/v1/health_pb.ts';
import { Events as EventsService } from '#services/events.ts';
import type { Services } from '#services/services.ts';
import { GrpcClient } from '#wire/grpc-client.ts';
import { GrpcServer } from '#wire/grpc-server.ts';
import { containerdDoor } from './door.ts';

/** The door on a socket, over plain objects in place of the services that the test is not about. */
async function house(t: TestContext, services: object, headers: Record<string, string> = {}): Promise<GrpcClient> {
  const directory = await mkdtemp(join(tmpdir(), 'hako-door-'));
  const path = join(directory, 'd.sock');
  const server = new GrpcServer(containerdDoor(services as Services), silent);
  await server.listen(path);
  const client = new GrpcClient(path, { 'containerd-namespace': 'default', ...headers });
  t.after(async () => {
    client.close();
    await server.close(0);
    await rm(directory, { recursive: true });
  });
  return client;
}

const now = new Date('2026-03-04T05:06:07.089Z');

test('a call without a namespace is refused, as is one with a name that no namespace may have', async (t) => {
  const services = { images: { list: () => [] } };
  const nobody = await house(t, services, { 'containerd-namespace': '' });
  await assert.rejects(nobody.service(Images).list({}), {
    code: 'failed-precondition',
    message: 'namespace is required: failed precondition',
  });
  const climber = await house(t, services, { 'containerd-namespace': '../x' });
  await assert.rejects(climber.service(Images).list({}), { code: 'invalid-argument' });
});

test('namespace and lease of a call reach the service, and namespaces themselves need none', async (t) => {
  const seen: Call[] = [];
  const services = {
    images: { list: (call: Call) => (seen.push(call), []) },
    namespaces: { list: () => [{ name: 'a', labels: { b: 'c' } }] },
  };
  const client = await house(t, services, { 'containerd-namespace': 'k8s.io', 'containerd-lease': 'l1' });
  await client.service(Images).list({});
  assert.deepEqual([seen[0]?.namespace, seen[0]?.lease], ['k8s.io', 'l1']);
  const bare = await house(t, services, { 'containerd-namespace': '' });
  const { namespaces } = await bare.service(Namespaces).list({});
  assert.deepEqual(
    namespaces.map(({ name, labels }) => [name, labels]),
    [['a', { b: 'c' }]],
  );
});

test('errors of services keep code and message', async (t) => {
  const refuse = (): never => {
    throw notFound('image', 'ghost');
  };
  const client = await house(t, { images: { get: refuse } });
  await assert.rejects(client.service(Images).get({ name: 'ghost' }), {
    code: 'not-found',
    message: 'image "ghost": not found',
  });
});

test('a container comes back as it was sent', async (t) => {
  const client = await house(t, {
    containers: {
      create: async (_call: Call, container: object) => ({ ...container, createdAt: now, updatedAt: now }),
    },
  });
  const any = (typeUrl: string) => create(AnySchema, { typeUrl, value: new Uint8Array([1, 2, 3]) });
  const sent = {
    id: 'web',
    image: 'docker.io/library/x:latest',
    labels: { a: 'b' },
    runtime: { name: 'io.containerd.runc.v2', options: any('containerd.runc.v1.Options') },
    spec: any('types.containerd.io/opencontainers/runtime-spec/1/Spec'),
    snapshotter: 'overlayfs',
    snapshotKey: 'web',
    extensions: { one: any('one'), two: any('two') },
    sandbox: 'pod',
  };
  const { container } = await client.service(Containers).create({ container: sent });
  assert.ok(container?.runtime?.options !== undefined && container.createdAt !== undefined);
  assert.deepEqual(timestampDate(container.createdAt), now);
  const { id, image, labels, snapshotter, snapshotKey, sandbox } = container;
  assert.deepEqual(
    { id, image, labels, snapshotter, snapshotKey, sandbox },
    { id: 'web', image: sent.image, labels: sent.labels, snapshotter: 'overlayfs', snapshotKey: 'web', sandbox: 'pod' },
  );
  assert.equal(container.spec?.typeUrl, sent.spec.typeUrl);
  assert.deepEqual([...(container.runtime.options.value ?? [])], [1, 2, 3]);
  assert.deepEqual(Object.keys(container.extensions), ['one', 'two']);
});

test('an image goes only if it points where the client believes', async (t) => {
  const deleted: string[] = [];
  const client = await house(t, {
    images: {
      get: (_call: Call, name: string) => ({ name, target: { digest: 'sha256:aa' } }),
      delete: async (_call: Call, name: string) => void deleted.push(name),
    },
  });
  const images = client.service(Images);
  await assert.rejects(images.delete({ name: 'x', target: { digest: 'sha256:bb' } }), { code: 'not-found' });
  await images.delete({ name: 'x', target: { digest: 'sha256:aa' } });
  await images.delete({ name: 'y' });
  assert.deepEqual(deleted, ['x', 'y']);
});

test('processes are told with status and exit, and exec ids name them', async (t) => {
  const stdio = { stdin: '', stdout: '/out', stderr: '', terminal: false };
  const process = { containerId: 'web', pid: 7, stdio, bundle: '/b' };
  const client = await house(t, {
    tasks: {
      expect: () => {},
      list: async () => [
        { ...process, execId: '', status: 'running' },
        { ...process, execId: 'sh', status: 'stopped', exit: { pid: 7, status: 130, at: now } },
      ],
      delete: async () => ({ pid: 7, status: 130, at: now }),
      pids: async () => [{ pid: 7 }, { pid: 8, execId: 'sh' }],
    },
  });
  const tasks = client.service(Tasks);
  const [first, second] = (await tasks.list({})).tasks;
  assert.deepEqual(
    [first?.id, first?.status, first?.stdout, first?.exitedAt?.seconds],
    // The year 1, which Go's clients take for "not yet".
    ['web', Status.RUNNING, '/out', -62_135_596_800n],
  );
  assert.deepEqual([second?.id, second?.status, second?.exitStatus], ['sh', Status.STOPPED, 130]);
  const gone = await tasks.deleteProcess({ containerId: 'web', execId: 'sh' });
  assert.deepEqual([gone.id, gone.exitStatus, gone.pid], ['sh', 130, 7]);
  const { processes } = await tasks.listPids({ containerId: 'web' });
  assert.deepEqual(
    processes.map(({ pid, info }) => [pid, info?.typeUrl]),
    [
      [7, undefined],
      [8, 'containerd.runc.v1.ProcessDetails'],
    ],
  );
  await assert.rejects(tasks.deleteProcess({ containerId: 'web' }), { code: 'invalid-argument' });
  await assert.rejects(tasks.exec({ containerId: 'web' }), { code: 'invalid-argument' });
});

test('metrics leave out a task that has ended meanwhile', async (t) => {
  const client = await house(t, {
    tasks: {
      list: async () => [{ containerId: 'a' }, { containerId: 'b' }, { containerId: 'c' }],
      stats: async (_call: Call, id: string) => {
        if (id === 'b') throw notFound('task', id);
        return { typeUrl: 'io.containerd.cgroups.v2.Metrics', value: new Uint8Array() };
      },
    },
  });
  const { metrics } = await client.service(Tasks).metrics({});
  assert.deepEqual(
    metrics.map(({ id }) => id),
    ['a', 'c'],
  );
  const filtered = await client.service(Tasks).metrics({ filters: ['id==c', 'id==b'] });
  assert.deepEqual(
    filtered.metrics.map(({ id }) => id),
    ['c'],
  );
});

test('snapshots are listed in blocks with kind, dates and parent', async (t) => {
  const infos = Array.from({ length: 250 }, (_, n) => ({
    name: String(n),
    parent: n === 0 ? '' : String(n - 1),
    kind: n === 249 ? 'active' : 'committed',
    labels: {},
    createdAt: now,
    updatedAt: now,
  }));
  const client = await house(t, { snapshots: { list: () => infos } });
  const blocks: number[] = [];
  const kinds: Kind[] = [];
  for await (const { info } of client.service(Snapshots).list({ snapshotter: 'overlayfs' })) {
    blocks.push(info.length);
    kinds.push(...info.map(({ kind }) => kind));
  }
  assert.deepEqual(blocks, [100, 100, 50]);
  assert.deepEqual([kinds[0], kinds.at(-1)], [Kind.COMMITTED, Kind.ACTIVE]);
});

test('leases and their resources are told as the service knows them', async (t) => {
  const added: unknown[] = [];
  const client = await house(t, {
    leases: {
      create: async (_call: Call, id: string, labels: object) => ({
        id: id === '' ? 'made-up' : id,
        labels,
        createdAt: now,
      }),
      addResource: async (_call: Call, id: string, resource: object) => void added.push([id, resource]),
    },
  });
  const leases = client.service(Leases);
  const { lease } = await leases.create({ labels: { a: 'b' } });
  assert.deepEqual([lease?.id, lease?.labels], ['made-up', { a: 'b' }]);
  await leases.addResource({ id: 'l', resource: { id: 'k', type: 'snapshots/overlayfs' } });
  assert.deepEqual(added, [['l', { id: 'k', type: 'snapshots/overlayfs' }]]);
  await assert.rejects(leases.addResource({ id: 'l' }), { code: 'invalid-argument' });
});

test('plugins are filtered, and one that was skipped tells why', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'hako-introspection-'));
  t.after(() => rm(root, { recursive: true }));
  const plugin = { type: 'io.containerd.snapshotter.v1', requires: [], platforms: [], exports: {}, capabilities: [] };
  const plugins = [
    { ...plugin, id: 'overlayfs', platforms: [{ os: 'linux', architecture: 'amd64' }] },
    { ...plugin, id: 'btrfs', error: { code: 2, message: 'skip plugin' } },
  ];
  const facts = new IntrospectionFacts({ root, plugins, version: 'v1', revision: 'r' });
  const client = await house(t, { introspection: facts });
  const introspection = client.service(Introspection);
  const found = await introspection.plugins({ filters: ['type==io.containerd.snapshotter.v1, id==overlayfs'] });
  assert.deepEqual(
    found.plugins.map(({ id, platforms }) => [id, platforms[0]?.architecture]),
    [['overlayfs', 'amd64']],
  );
  const { plugin: btrfs } = await introspection.pluginInfo({ type: 'io.containerd.snapshotter.v1', id: 'btrfs' });
  assert.deepEqual([btrfs?.initErr?.code, btrfs?.initErr?.message], [2, 'skip plugin']);
  await assert.rejects(introspection.pluginInfo({ type: 'x', id: 'y' }), { code: 'not-found' });
  await assert.rejects(introspection.plugins({ filters: ['id='] }), { code: 'invalid-argument' });
});

test('a watcher hears of events from the moment its call has begun, and of those it wants', async (t) => {
  const events = new EventsService();
  const client = await house(t, { events });
  const api = client.service(Events);
  const stop = new AbortController();
  const heard = api.subscribe({ filters: ['topic~=^/tasks/'] }, { signal: stop.signal });
  const first = heard.next();
  await api.publish({ topic: '/images/create', event: { typeUrl: 'x', value: new Uint8Array() } });
  // The subscription is another call on the same connection: publish until it is there.
  const ticker = setInterval(() => {
    events.publish('default', '/tasks/exit', { kind: 'plain', type: 'TaskExit', fields: { containerId: 'web' } });
  }, 5);
  const { value } = await first;
  clearInterval(ticker);
  assert.deepEqual(
    [value?.namespace, value?.topic, value?.event?.typeUrl],
    ['default', '/tasks/exit', 'containerd.events.TaskExit'],
  );
  stop.abort(new HakoError('cancelled', 'heard enough'));
  await assert.rejects(
    async () => {
      while ((await heard.next()).done !== true);
    },
    { code: 'cancelled' },
  );
});

test('the daemon says that it is well, and like containerd knows no part by name', async (t) => {
  const client = await house(t, {});
  const health = client.service(Health);
  assert.equal((await health.check({})).status, HealthCheckResponse_ServingStatus.SERVING);
  await assert.rejects(health.check({ service: Tasks.typeName }), { code: 'not-found' });
  const { statuses } = await health.list({});
  assert.deepEqual(
    Object.entries(statuses).map(([name, { status }]) => [name, status]),
    [['', HealthCheckResponse_ServingStatus.SERVING]],
  );
  const watch = health.watch({});
  assert.equal((await watch.next()).value?.status, HealthCheckResponse_ServingStatus.SERVING);
  await watch.return();
});

test('plugins are listed, filtered, and the runtime tells more when it is asked with options', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'hako-introspection-'));
  t.after(() => rm(root, { recursive: true }));
  const facts = { requires: [], platforms: [], exports: {}, capabilities: [] };
  const asked: object[] = [];
  const runtime = {
    features: async (request: object) => {
      asked.push(request);
      return { binary: 'runc', features: Buffer.from('{"x":1}') };
    },
  };
  const task = { type: 'io.containerd.runtime.v2', id: 'task', ...facts };
  const broken = { ...task, id: 'broken', error: { code: 2, message: 'no' } };
  const introspection = new IntrospectionFacts({
    root,
    plugins: [task, broken],
    runtime,
    version: 'v1',
    revision: 'r',
  });
  const client = (await house(t, { introspection })).service(Introspection);

  const { plugins } = await client.plugins({ filters: ['id==task'] });
  assert.deepEqual(
    plugins.map(({ id }) => id),
    ['task'],
  );
  const about = { type: task.type, id: 'task' };
  assert.equal((await client.pluginInfo(about)).extra, undefined);
  const binary = create(OptionsSchema, { binaryName: 'crun' });
  const inner = { typeUrl: OptionsSchema.typeName, value: toBinary(OptionsSchema, binary) };
  const request = create(RuntimeRequestSchema, { runtimePath: 'io.containerd.runc.v2', options: inner });
  const options = { typeUrl: RuntimeRequestSchema.typeName, value: toBinary(RuntimeRequestSchema, request) };
  const { extra } = await client.pluginInfo({ ...about, options });
  assert.equal(extra?.typeUrl, 'containerd.types.RuntimeInfo');
  const info = fromBinary(RuntimeInfoSchema, extra.value);
  assert.deepEqual(
    [info.name, info.version?.version, info.options?.typeUrl],
    [request.runtimePath, 'v1', inner.typeUrl],
  );
  assert.equal(info.features?.typeUrl, 'types.containerd.io/opencontainers/runtime-spec/1/features/Features');
  assert.equal(Buffer.from(info.features.value).toString(), '{"x":1}');
  assert.deepEqual((asked[0] as { options: { typeUrl: string } }).options.typeUrl, inner.typeUrl);

  await assert.rejects(client.pluginInfo({ type: 'a', id: 'b' }), { code: 'not-found' });
  await assert.rejects(client.pluginInfo({ ...about, id: 'broken', options }), { code: 'failed-precondition' });
  await assert.rejects(client.pluginInfo({ ...about, options: { typeUrl: 'x.Y' } }), { code: 'unknown' });
});
