// Snapshotters in other processes: what lies there and what our ledger says agree, whoever dies in between.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Leases } from '#proto/gen/containerd/services/leases/v1/leases_pb.ts';
import { Snapshots } from '#proto/gen/containerd/services/snapshots/v1/snapshots_pb.ts';
import { GrpcClient } from '#wire/grpc-client.ts';
import { openHarbour, type Harbour } from './support/daemon.ts';
import { eventually, output, refusal } from './support/expect.ts';
import { noContainers } from './support/machine.ts';
import { RemoteSnapshotter } from './support/remote-snapshotter.ts';

describe('a snapshotter behind a socket', { skip: noContainers('ctr') }, () => {
  let harbour: Harbour;
  let remote: RemoteSnapshotter;
  const undo = new AsyncDisposableStack();

  after(() => undo.disposeAsync());
  before(async () => {
    const dir = undo.adopt(mkdtempSync(join(tmpdir(), 'hp-')), (path) => rmSync(path, { recursive: true }));
    const address = join(dir, 'far.sock');
    remote = undo.adopt(new RemoteSnapshotter(address), (it) => it.stop());
    const config = `version = 3\n[proxy_plugins.far]\ntype = "snapshot"\naddress = "${address}"\ncapabilities = ["rebase"]\n`;
    // The daemon starts first: the proxy may come later.
    harbour = await openHarbour(undo, { config });
    await remote.start();
  });
  beforeEach(() => {
    remote.answering = async () => {};
  });

  const snapshots = (...args: string[]) => harbour.guests.ctr(['snapshots', '--snapshotter', 'far', ...args]);
  const never = (): Promise<never> => new Promise(() => {});

  /** Does `ask`, and kills the daemon when the far side has done what the method says but nobody has heard of it. */
  async function killAfter(method: string, ask: () => Promise<unknown>): Promise<void> {
    const reached = Promise.withResolvers<void>();
    remote.answering = (done) => {
      if (done !== method) return Promise.resolve();
      reached.resolve();
      return never();
    };
    const asked = ask();
    await reached.promise;
    await harbour.daemon.kill();
    await asked;
    remote.answering = async () => {};
    await harbour.daemon.start();
  }

  test('it is told names as containerd tells them, and labels that concern it alone', async () => {
    output(await snapshots('prepare', 'work'));
    assert.deepEqual(remote.names(), ['default/1/work']);
    output(await snapshots('commit', 'base', 'work'));
    assert.deepEqual(remote.names(), ['default/1/base']);
    output(await snapshots('view', 'look', 'base'));
    assert.equal(remote.trees.get('default/2/look')?.parent, 'default/1/base');
    assert.match(output(await snapshots('mounts', '/target', 'look')), /\/remote\/default\/2\/look/);
    output(await snapshots('label', 'base', 'containerd.io/snapshot/x=y', 'mine=1'));
    const { labels } = remote.trees.get('default/1/base') ?? assert.fail();
    assert.deepEqual([labels['containerd.io/snapshot/x'], labels['mine']], ['y', undefined]);
    refusal(await snapshots('remove', 'base'), /cannot remove snapshot with child/);
    for (const key of ['look', 'base']) output(await snapshots('remove', key));
    await eventually(() => assert.deepEqual(remote.names(), []));
  });

  /** Prepares a tree that is to become the layer "layer". */
  async function prepareLayer(namespace: string, key: string): Promise<void> {
    const client = new GrpcClient(harbour.daemon.address, { 'containerd-namespace': namespace });
    undo.defer(() => client.close());
    // A collection may come between any two commands.
    const { lease } = await client.service(Leases).create({});
    const headers = { 'containerd-lease': lease?.id ?? '' };
    const labels = { 'containerd.io/snapshot.ref': 'layer' };
    await client.service(Snapshots).prepare({ snapshotter: 'far', key, labels }, { headers });
  }
  const within = (namespace: string, ...args: string[]) =>
    harbour.guests.ctr(['-n', namespace, 'snapshots', '--snapshotter', 'far', ...args]);

  test('a layer that it holds needs no unpacking, and stays until the last namespace has no use for it', async () => {
    remote.holds.add('layer');
    for (const namespace of ['one', 'two']) {
      const message = /^target snapshot "layer" from snapshotter: already exists/;
      await assert.rejects(prepareLayer(namespace, 'extract'), { code: 'already-exists', message });
      assert.match(output(await within(namespace, 'info', 'layer')), /"Kind": "Committed"/);
      assert.doesNotMatch(output(await within(namespace, 'info', 'layer')), /io\.hakobune|gc\.root/);
    }
    assert.deepEqual(remote.names(), ['layer']);
    output(await within('one', 'remove', 'layer'));
    output(await within('two', 'prepare', 'top', 'layer'));
    assert.equal(remote.trees.get('two/5/top')?.parent, 'layer');
    output(await within('two', 'remove', 'top'));
    output(await within('two', 'remove', 'layer'));
    await eventually(() => assert.deepEqual(remote.names(), []));
  });

  test('a tree is put upon its parent at commit, and all goes in an order that it can follow', async () => {
    const client = new GrpcClient(harbour.daemon.address, { 'containerd-namespace': 'apart' });
    undo.defer(() => client.close());
    const { prepare, commit, stat } = client.service(Snapshots);
    await prepare({ snapshotter: 'far', key: 'upper work' });
    await prepare({ snapshotter: 'far', key: 'lower work' });
    await commit({ snapshotter: 'far', key: 'lower work', name: 'lower' });
    await commit({ snapshotter: 'far', key: 'upper work', name: 'upper', parent: 'lower' });
    assert.equal((await stat({ snapshotter: 'far', key: 'upper' })).info?.parent, 'lower');
    assert.match(remote.trees.get(remote.names().find((name) => name.endsWith('upper')) ?? '')?.parent ?? '', /lower$/);
    // The collector takes both at once, as nothing needs them.
    const lease = ['-n', 'apart', 'leases'];
    output(await harbour.guests.ctr([...lease, 'create', '--id', 'any']));
    output(await harbour.guests.ctr([...lease, 'delete', '--sync', 'any']));
    await eventually(() => assert.deepEqual(remote.names(), []));
  });

  test('killed between a layer that it holds and its row: it goes, and the same request succeeds', async () => {
    await killAfter('prepare', () => prepareLayer('one', 'extract').catch(() => {}));
    await eventually(() => assert.deepEqual(remote.names(), []));
    await assert.rejects(prepareLayer('one', 'extract'), { code: 'already-exists' });
    assert.deepEqual(remote.names(), ['layer']);
    output(await within('one', 'remove', 'layer'));
    await eventually(() => assert.deepEqual(remote.names(), []));
  });

  test('killed between a tree and its row: it goes, and the same request succeeds', async () => {
    await killAfter('prepare', () => snapshots('prepare', 'torn'));
    await eventually(() => assert.deepEqual(remote.names(), []));
    output(await snapshots('prepare', 'torn'));
    assert.equal(remote.names().length, 1);
    output(await snapshots('remove', 'torn'));
    await eventually(() => assert.deepEqual(remote.names(), []));
  });

  test('killed between a commit and its row: nothing is lost, and the same request succeeds', async () => {
    output(await snapshots('prepare', 'work'));
    await killAfter('commit', () => snapshots('commit', 'kept', 'work'));
    assert.match(remote.names().join(), /^default\/\d+\/kept$/);
    output(await snapshots('commit', 'kept', 'work'));
    assert.match(output(await snapshots('info', 'kept')), /"Kind": "Committed"/);
    output(await snapshots('remove', 'kept'));
    await eventually(() => assert.deepEqual(remote.names(), []));
  });

  test('while it is away its calls are unavailable by name, all else goes on, and what is to go goes later', async () => {
    output(await snapshots('prepare', 'left'));
    await remote.stop();
    refusal(await snapshots('prepare', 'more'), /proxy plugin "far" at ".*far\.sock" is not available/);
    output(await harbour.guests.ctr(['snapshots', 'prepare', 'other']));
    output(await snapshots('remove', 'left'));
    assert.match(output(await harbour.guests.ctr(['plugins', 'ls'])), /snapshotter\.v1 +far +linux\/\w+ +ok/);
    await harbour.daemon.stop();
    await harbour.daemon.start();
    await remote.start();
    assert.equal(remote.names().length, 1);
    output(await snapshots('prepare', 'more'));
    await eventually(() => assert.deepEqual(remote.names().length, 1), 30_000);
    output(await snapshots('remove', 'more'));
  });

  test('what others keep there is left alone', async () => {
    remote.trees.set('default/1/theirs', { kind: 2, parent: '', labels: {} });
    await harbour.daemon.kill();
    await harbour.daemon.start();
    output(await snapshots('prepare', 'ours'));
    await harbour.daemon.kill();
    await harbour.daemon.start();
    assert.ok(remote.names().includes('default/1/theirs'));
  });
});
