// Sandboxes at the containerd door, with a real shim and runc: containers live in them, and a kill of the daemon is not felt.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Events } from '#proto/gen/containerd/services/events/v1/events_pb.ts';
import { Introspection } from '#proto/gen/containerd/services/introspection/v1/introspection_pb.ts';
import { Controller, Store } from '#proto/gen/containerd/services/sandbox/v1/sandbox_pb.ts';
import { GrpcClient } from '#wire/grpc-client.ts';
import { openHarbour, openRegistry, type Harbour } from './support/daemon.ts';
import { eventually, output, refusal } from './support/expect.ts';
import { noContainers, which } from './support/machine.ts';

describe('sandboxes', { skip: noContainers() }, () => {
  let harbour: Harbour;
  let client: GrpcClient;
  let image: string;
  let dir: string;
  const undo = new AsyncDisposableStack();
  after(() => undo.disposeAsync());
  before(async () => {
    const registry = await openRegistry(undo);
    harbour = await openHarbour(undo);
    client = undo.adopt(new GrpcClient(harbour.daemon.address, { 'containerd-namespace': 'default' }), (it) =>
      it.close(),
    );
    image = registry.busybox;
    dir = undo.adopt(mkdtempSync(join(tmpdir(), 'hs-')), (made) => rmSync(made, { recursive: true }));
    output(await hakoctl('images', 'pull', '--plain-http', image));
  });
  const hakoctl = (...words: string[]) => harbour.guests.hakoctl(words);
  const at = (sandboxId: string) => ({ sandboxId, sandboxer: 'shim' });
  const bundles = (): string[] => {
    const directory = join(harbour.daemon.state, 'sandboxes', 'default');
    return existsSync(directory) ? readdirSync(directory) : [];
  };

  test('hakoctl runs, lists, shows and removes one, and containers live in it while it runs', async () => {
    const config = join(dir, 'pod.json');
    writeFileSync(config, '{"ociVersion":"1.0.2","hostname":"pod"}');
    assert.equal(output(await hakoctl('sandboxes', 'run', config, 'pod')), 'pod');
    assert.match(
      output(await hakoctl('sandboxes', 'list')),
      /^ID +CREATED +RUNTIME *\npod +\d{4}-.* io\.containerd\.runc\.v2/,
    );
    const info = JSON.parse(output(await hakoctl('sandboxes', 'info', 'pod'))) as Record<string, unknown>;
    assert.deepEqual([info['ID'], info['Sandboxer']], ['pod', 'shim']);
    assert.equal(output(await hakoctl('run', '--rm', '--sandbox', 'pod', image, 'first', 'echo', 'inside')), 'inside');
    output(await hakoctl('run', '-d', '--sandbox', 'pod', image, 'second', 'sleep', '1000'));
    assert.equal(output(await hakoctl('sandboxes', 'remove', 'pod')), 'pod');
    await eventually(async () => assert.match(output(await hakoctl('tasks', 'list')), /second +\d+ +STOPPED/));
    output(await hakoctl('tasks', 'delete', 'second').catch(() => assert.fail()));
    output(await hakoctl('containers', 'delete', 'second'));
    assert.deepEqual(bundles(), []);
    refusal(await hakoctl('sandboxes', 'info', 'pod'), /not found/);
  });

  test('a sandbox that is in the store but does not run takes no container; one that is in no store is a mere name', async () => {
    const sandbox = { sandboxId: 'idle', runtime: { name: 'io.containerd.runc.v2' } };
    await client.service(Store).create({ sandbox });
    refusal(
      await hakoctl('run', '--rm', '--sandbox', 'idle', image, 'none', 'true'),
      /can't find shim for sandbox idle/,
    );
    assert.equal(output(await hakoctl('run', '--rm', '--sandbox', 'nowhere', image, 'some', 'echo', 'ok')), 'ok');
    await client.service(Store).delete({ sandboxId: 'idle' });
  });

  test('kill -9 of the daemon is not felt: state, process, row and exit are as they were', async () => {
    const value = Buffer.from(
      JSON.stringify({
        ociVersion: '1.0.2',
        process: { args: ['/busybox', 'sleep', '1000'], cwd: '/', user: { uid: 0, gid: 0 } },
        root: { path: 'rootfs' },
        mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }],
        linux: { namespaces: [{ type: 'pid' }, { type: 'mount' }, { type: 'ipc' }, { type: 'uts' }] },
      }),
    );
    const runtime = { name: 'io.containerd.runc.v2' };
    const pod = { sandboxId: 'pod', runtime, sandboxer: 'shim', spec: { typeUrl: 'spec', value }, labels: { a: 'b' } };
    const controller = client.service(Controller);
    await client.service(Store).create({ sandbox: pod });
    // Nobody has this one in a store.
    await controller.create({ ...at('stray'), sandbox: { sandboxId: 'stray', runtime } });
    const tree = join(dir, 'tree');
    for (const name of ['', 'proc']) mkdirSync(join(tree, name));
    copyFileSync(which('busybox') ?? assert.fail('no busybox'), join(tree, 'busybox'));
    const rootfs = [{ type: 'bind', source: tree, options: ['rbind'] }];
    await controller.create({ ...at('pod'), sandbox: pod, rootfs });
    const { pid } = await controller.start(at('pod'));
    assert.ok(pid > 0);
    await harbour.daemon.kill();
    await harbour.daemon.start();
    const status = await controller.status({ ...at('pod'), verbose: true });
    assert.deepEqual([status.state, status.pid], ['SANDBOX_READY', pid]);
    assert.deepEqual((await client.service(Store).get({ sandboxId: 'pod' })).sandbox?.labels, { a: 'b' });
    assert.equal((await controller.status(at('stray'))).state, '');
    assert.deepEqual(bundles(), ['pod']);
    const waiting = controller.wait(at('pod'));
    process.kill(pid, 'SIGKILL');
    assert.equal((await waiting).exitStatus, 137);
    await harbour.daemon.kill();
    await harbour.daemon.start();
    assert.equal((await controller.wait(at('pod'))).exitStatus, 137);
    assert.equal((await controller.status(at('pod'))).state, 'SANDBOX_NOTREADY');
    await controller.stop(at('pod'));
    await controller.shutdown(at('pod'));
    await assert.rejects(controller.shutdown(at('pod')), { code: 'not-found' });
    await client.service(Store).delete({ sandboxId: 'pod' });
    assert.deepEqual(bundles(), []);
  });

  test('subscribers hear of it, and the plugins are those of containerd', async () => {
    const ended = new AbortController();
    const events = client.service(Events).subscribe({ filters: ['topic~=^/sandboxes/'] }, { signal: ended.signal });
    const heard = (async () => {
      const topics: string[] = [];
      for await (const { topic } of events) if (topics.push(topic) === 3) break;
      return topics;
    })();
    const controller = client.service(Controller);
    await client.service(Store).list({});
    await controller.create({
      ...at('told'),
      sandbox: { sandboxId: 'told', runtime: { name: 'io.containerd.runc.v2' } },
    });
    await controller.start(at('told'));
    await controller.stop(at('told'));
    await controller.wait(at('told'));
    assert.deepEqual(await heard, ['/sandboxes/create', '/sandboxes/start', '/sandboxes/exit']);
    ended.abort();
    await controller.shutdown(at('told'));
    const { plugins } = await client.service(Introspection).plugins({ filters: ['id~=shim|sandbox', 'type~=sandbox'] });
    assert.deepEqual(plugins.map(({ type, id }) => `${type} ${id}`).toSorted(), [
      'io.containerd.grpc.v1 sandbox-controllers',
      'io.containerd.grpc.v1 sandboxes',
      'io.containerd.sandbox.controller.v1 shim',
      'io.containerd.sandbox.store.v1 local',
    ]);
  });
});
