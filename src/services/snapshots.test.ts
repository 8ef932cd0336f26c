import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { call, layer, leased, openBridge } from '../../test/support/bridge.ts';

const other = { ...call, namespace: 'other' };

test('trees stand on each other, are committed under a name, and are seen in their namespace alone', async () => {
  await using bridge = await openBridge();
  const { snapshots } = bridge;
  await layer(bridge, call, 'base', '', { colour: 'blue' });
  await layer(bridge, call, 'top', 'base');
  const mounts = await snapshots.prepare(call, 'overlayfs', 'work', 'top', {});
  const trees = ['3', '2', '1'].map((id) => join(bridge.driver.root, id));
  assert.deepEqual(mounts, [{ type: 'bind', source: trees[0], options: ['rw', ...trees.slice(1)] }]);
  assert.deepEqual(await snapshots.mounts(call, '', 'work'), mounts);
  assert.deepEqual(
    [...snapshots.list(call, '', [])].map(({ name, kind, parent }) => [name, kind, parent]),
    [
      ['base', 'committed', ''],
      ['top', 'committed', 'base'],
      ['work', 'active', 'top'],
    ],
  );
  assert.equal([...snapshots.list(call, '', ['kind==committed,parent==base'])].length, 1);
  assert.deepEqual(snapshots.stat(call, '', 'base').labels, { colour: 'blue' });
  assert.throws(() => snapshots.stat(other, '', 'base'), {
    code: 'not-found',
    message: 'snapshot base does not exist: not found',
  });
  assert.deepEqual(bridge.published.map(({ topic }) => topic).slice(-3), [
    '/snapshot/prepare',
    '/snapshot/commit',
    '/snapshot/prepare',
  ]);
});

test("every mistake has containerd's code and words", async () => {
  await using bridge = await openBridge();
  const { snapshots } = bridge;
  await layer(bridge, call, 'base');
  await snapshots.prepare(call, '', 'work', 'base', {});
  await snapshots.view(call, '', 'look', 'base', {});
  const wrong: [() => unknown, string, RegExp][] = [
    [() => snapshots.prepare(call, '', 'work', '', {}), 'already-exists', /^snapshot "work": already exists$/],
    [
      () => snapshots.prepare(call, '', 'x', 'ghost', {}),
      'not-found',
      /^parent snapshot ghost does not exist: not found$/,
    ],
    [
      () => snapshots.prepare(call, '', 'x', 'work', {}),
      'invalid-argument',
      /^failed to create snapshot: parent "default\/2\/work" is not committed snapshot: invalid argument$/,
    ],
    [() => snapshots.prepare(call, 'zfs', 'x', '', {}), 'invalid-argument', /^snapshotter not loaded: zfs/],
    [
      () => snapshots.mounts(call, '', 'base'),
      'failed-precondition',
      /^failed to get active mount: requested snapshot default\/1\/base not active or view/,
    ],
    [() => snapshots.commit(call, '', 'base', 'work', {}), 'already-exists', /^snapshot "base": already exists$/],
    [() => snapshots.commit(call, '', 'x', 'ghost', {}), 'not-found', /^snapshot ghost does not exist: not found$/],
    [
      () => snapshots.commit(call, '', 'x', 'look', {}),
      'failed-precondition',
      /^failed to commit snapshot default\/3\/look: snapshot "default\/3\/look" is not active/,
    ],
    [() => snapshots.commit(call, '', 'base', 'ghost', {}), 'already-exists', /^snapshot "base": already exists$/],
    [() => snapshots.remove(call, '', 'base'), 'failed-precondition', /^cannot remove snapshot with child/],
    [() => snapshots.remove(call, '', 'ghost'), 'not-found', /^snapshot ghost does not exist: not found$/],
    [
      () => snapshots.update(call, '', { name: 'base', labels: {} }, ['kind']),
      'invalid-argument',
      /^cannot update "kind" field/,
    ],
  ];
  for (const [attempt, code, message] of wrong)
    await assert.rejects(async () => attempt(), { code, message }, String(message));
  assert.equal(bridge.ledger.snapshots.all().length, 3);
});

test('a removed tree is gone from ledger and disk', async () => {
  await using bridge = await openBridge();
  await layer(bridge, call, 'base');
  await bridge.snapshots.remove(call, '', 'base');
  assert.deepEqual(bridge.ledger.snapshots.all(), []);
  await bridge.idle();
  assert.deepEqual(await Array.fromAsync(bridge.driver.list()), []);
});

test('a tree that the driver could not make leaves neither row nor directory, and its key is free', async () => {
  await using bridge = await openBridge();
  bridge.driver.gate = () => Promise.reject(new Error('disk on fire'));
  await assert.rejects(bridge.snapshots.prepare(call, '', 'work', '', {}), /disk on fire/);
  assert.deepEqual(bridge.ledger.snapshots.all(), []);
  assert.deepEqual(await Array.fromAsync(bridge.driver.list()), []);
  bridge.driver.gate = async () => {};
  await bridge.snapshots.prepare(call, '', 'work', '', {});
});

test('while a tree is being made its key is taken, nobody sees it, its parent stays and no collector takes it', async () => {
  await using bridge = await openBridge();
  const { snapshots, driver } = bridge;
  await layer(bridge, call, 'base');
  const reached = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  driver.gate = () => {
    reached.resolve();
    return go.promise;
  };
  const making = snapshots.prepare(call, '', 'work', 'base', {});
  await reached.promise;
  await assert.rejects(snapshots.prepare(call, '', 'work', '', {}), { code: 'already-exists' });
  assert.throws(() => snapshots.stat(call, '', 'work'), { code: 'not-found' });
  await assert.rejects(snapshots.remove(call, '', 'base'), { code: 'failed-precondition' });
  await bridge.gc.run(call.signal);
  go.resolve();
  await making;
  assert.equal(snapshots.stat(call, '', 'work').parent, 'base');
});

test('of two who commit to one name at once, one wins and the other keeps its tree', async () => {
  await using bridge = await openBridge();
  const { snapshots } = bridge;
  for (const key of ['one', 'two']) await snapshots.prepare(call, '', key, '', {});
  const commit = (key: string): Promise<void> => snapshots.commit(call, '', 'name', key, {});
  const results = await Promise.allSettled([commit('one'), commit('two')]);
  const loser = results[0].status === 'rejected' ? 'one' : 'two';
  assert.deepEqual(results.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
  assert.equal(snapshots.stat(call, '', loser).kind, 'active');
});

test('a layer that the driver holds already is recorded as committed, and told as already there', async () => {
  await using bridge = await openBridge();
  const { snapshots, leases } = bridge;
  await leases.create(call, 'pull', {});
  const labels = { 'containerd.io/snapshot.ref': 'held remotely' };
  const prepare = (key: string): Promise<unknown> => snapshots.prepare(leased('pull'), '', key, '', labels);
  await assert.rejects(prepare('extract 1'), { code: 'already-exists', message: /^target snapshot "held remotely"/ });
  assert.equal(snapshots.stat(call, '', 'held remotely').kind, 'committed');
  await assert.rejects(prepare('extract 2'), { code: 'already-exists' });
  assert.deepEqual(leases.resources(call, 'pull'), [{ type: 'snapshots/overlayfs', id: 'held remotely' }]);
});

test('usage of a committed tree is what it weighed when it was sealed', async () => {
  await using bridge = await openBridge();
  const { mkdir } = await import('node:fs/promises');
  await bridge.snapshots.prepare(call, '', 'work', '', {});
  await mkdir(join(bridge.driver.root, '1', 'file'));
  assert.deepEqual(await bridge.snapshots.usage(call, '', 'work'), { bytes: 10, inodes: 1 });
  await bridge.snapshots.commit(call, '', 'base', 'work', {});
  await mkdir(join(bridge.driver.root, '1', 'more'));
  assert.deepEqual(await bridge.snapshots.usage(call, '', 'base'), { bytes: 10, inodes: 1 });
});

test('a view weighs nothing', async () => {
  await using bridge = await openBridge();
  await layer(bridge, call, 'base');
  await bridge.snapshots.view(call, '', 'look', 'base', {});
  assert.deepEqual(await bridge.snapshots.usage(call, '', 'look'), { bytes: 0, inodes: 0 });
});

test("'' means the snapshotter that the namespace's label names, before the default", async () => {
  await using bridge = await openBridge();
  await bridge.namespaces.create({ name: 'odd', labels: { 'containerd.io/defaults/snapshotter': 'zfs' } });
  const message = 'snapshotter not loaded: zfs: invalid argument';
  await assert.rejects(bridge.snapshots.prepare({ ...call, namespace: 'odd' }, '', 'x', '', {}), { message });
});

test('cleanup removes from disk what no row names, and nothing else', async () => {
  await using bridge = await openBridge();
  const { mkdir } = await import('node:fs/promises');
  await bridge.snapshots.prepare(call, '', 'work', '', {});
  await mkdir(join(bridge.driver.root, '99'));
  await bridge.snapshots.cleanup(call, '');
  assert.deepEqual(await Array.fromAsync(bridge.driver.list()), ['1']);
});

test('an id that was found on disk is not given to a new tree, even when removing it fails', async () => {
  await using bridge = await openBridge();
  const { mkdir } = await import('node:fs/promises');
  await mkdir(join(bridge.driver.root, '99'));
  const remove = bridge.driver.remove.bind(bridge.driver);
  bridge.driver.remove = () => Promise.reject(new Error('busy'));
  await assert.rejects(bridge.snapshots.cleanup(call, ''), /busy/);
  bridge.driver.remove = remove;
  const [mount] = await bridge.snapshots.prepare(call, '', 'work', '', {});
  assert.equal(mount?.source, join(bridge.driver.root, '100'));
});

test('a commit is synced before its row says so, unless the caller syncs many at once', async () => {
  await using bridge = await openBridge();
  const seen: string[] = [];
  Object.assign(bridge.driver, {
    sync: async () => void seen.push(bridge.snapshots.stat(call, '', 'work').kind),
  });
  await bridge.snapshots.prepare(call, '', 'work', '', {});
  await bridge.snapshots.commit(call, '', 'base', 'work', {});
  await bridge.snapshots.prepare(call, '', 'work', 'base', {});
  await bridge.snapshots.commit(call, '', 'top', 'work', {}, { sync: false });
  assert.deepEqual(seen, ['active']);
});

test('a tree that was made without a parent gets one when it is committed, where its driver can do that', async () => {
  await using bridge = await openBridge();
  const { snapshots } = bridge;
  await layer(bridge, call, 'base');
  await layer(bridge, call, 'other');
  for (const [key, parent] of [
    ['alone', ''],
    ['upon', 'base'],
  ] as const)
    await snapshots.prepare(call, '', key, parent, {});
  await assert.rejects(snapshots.commit(call, '', 'x', 'alone', {}, { parent: 'base' }), { code: 'unimplemented' });
  Object.assign(bridge.driver, { rebases: true });
  const refused: [string, string, string][] = [
    ['alone', 'ghost', 'not-found'],
    ['alone', 'upon', 'failed-precondition'],
    ['upon', 'other', 'invalid-argument'],
  ];
  for (const [key, parent, code] of refused)
    await assert.rejects(snapshots.commit(call, '', 'x', key, {}, { parent }), { code }, `${key} upon ${parent}`);
  await snapshots.commit(call, '', 'done', 'alone', {}, { parent: 'base' });
  await snapshots.commit(call, '', 'same', 'upon', {}, { parent: 'base' });
  assert.deepEqual(
    [snapshots.stat(call, '', 'done').parent, snapshots.stat(call, '', 'same').parent],
    ['base', 'base'],
  );
  await assert.rejects(snapshots.remove(call, '', 'base'), { code: 'failed-precondition' });
  const [mount] = await snapshots.prepare(call, '', 'work', 'done', {});
  assert.equal(mount?.options.length, 3, 'itself, done and base');
});
