import assert from 'node:assert/strict';
import { test } from 'node:test';
import { call, container, layer, leased, openBridge, upload, type Bridge } from '../../test/support/bridge.ts';

const past = new Date(Date.now() - 60_000).toISOString();
const future = new Date(Date.now() + 3_600_000).toISOString();
const target = { mediaType: 'application/vnd.oci.image.manifest.v1+json', size: 1 };
const blobs = (bridge: Bridge): number => [...bridge.content.list(call, [])].length;
const trees = (bridge: Bridge): string[] => [...bridge.snapshots.list(call, '', [])].map(({ name }) => name);

test('a chain from an image over labels to a tree and its parents is kept whole', async () => {
  await using bridge = await openBridge();
  await bridge.leases.create(call, 'work', {});
  await layer(bridge, leased('work'), 'base');
  await layer(bridge, leased('work'), 'top', 'base');
  await layer(bridge, leased('work'), 'loose');
  const config = await upload(bridge, leased('work'), 'config', { 'containerd.io/gc.ref.snapshot.overlayfs': 'top' });
  const manifest = await upload(bridge, leased('work'), 'manifest', { 'containerd.io/gc.ref.content.config': config });
  await bridge.images.create(call, { name: 'a', labels: {}, target: { ...target, digest: manifest } });
  await bridge.leases.delete(call, 'work', { sync: true });
  assert.equal(blobs(bridge), 2);
  assert.deepEqual(trees(bridge), ['base', 'top']);
  assert.deepEqual((await Array.fromAsync(bridge.driver.list())).length, 2);
});

test('a container keeps its tree', async () => {
  await using bridge = await openBridge();
  await layer(bridge, call, 'base');
  await bridge.snapshots.prepare(call, '', 'web tree', 'base', {});
  await container(bridge, 'web', 'web tree');
  await bridge.gc.run(call.signal);
  assert.deepEqual(trees(bridge), ['base', 'web tree']);
  await bridge.containers.delete(call, 'web');
  await bridge.idle();
  assert.deepEqual(trees(bridge), []);
});

test('roots and back references decide as their labels say; the expiry of a blob says nothing', async () => {
  await using bridge = await openBridge();
  await bridge.leases.create(call, 'work', {});
  const on = leased('work');
  const root = await upload(bridge, on, 'root', { 'containerd.io/gc.root': 'yes' });
  const fresh = await upload(bridge, on, 'fresh', { 'containerd.io/gc.expire': future });
  const stale = await upload(bridge, on, 'stale', { 'containerd.io/gc.expire': past });
  const child = await upload(bridge, on, 'child', { 'containerd.io/gc.bref.content': root });
  const orphan = await upload(bridge, on, 'orphan', { 'containerd.io/gc.bref.content': stale });
  await bridge.leases.delete(call, 'work', { sync: true });
  for (const kept of [root, child]) assert.ok(bridge.content.find(call, kept), kept);
  for (const gone of [fresh, stale, orphan]) assert.equal(bridge.content.find(call, gone), undefined);
});

test('an image past its expiry goes with what it held, and that is told', async () => {
  await using bridge = await openBridge();
  await bridge.leases.create(call, 'work', {});
  const digest = await upload(bridge, leased('work'), 'x');
  const labels = { 'containerd.io/gc.expire': past };
  await bridge.images.create(leased('work'), { name: 'old', labels, target: { ...target, digest } });
  await bridge.gc.run(call.signal);
  assert.ok(bridge.images.find(call, 'old'));
  await bridge.leases.delete(call, 'work', { sync: true });
  assert.equal(bridge.images.find(call, 'old'), undefined);
  assert.equal(blobs(bridge), 0);
  assert.equal(bridge.published.at(-1)?.topic, '/images/delete');
});

test('an expired lease holds nothing and goes; a flat one holds what it lists and no more', async () => {
  await using bridge = await openBridge();
  await bridge.leases.create(call, 'expired', { 'containerd.io/gc.expire': past });
  await bridge.leases.create(call, 'flat', { 'containerd.io/gc.flat': 'yes' });
  await bridge.leases.create(call, 'work', {});
  await upload(bridge, leased('expired'), 'gone');
  const child = await upload(bridge, leased('work'), 'child');
  const parent = await upload(bridge, leased('work'), 'parent', { 'containerd.io/gc.ref.content': child });
  await layer(bridge, leased('work'), 'base');
  await layer(bridge, leased('work'), 'top', 'base');
  await bridge.leases.addResource(call, 'flat', { type: 'content', id: parent });
  await bridge.leases.addResource(call, 'flat', { type: 'snapshots/overlayfs', id: 'top' });
  await bridge.leases.delete(call, 'work', { sync: true });
  assert.deepEqual(
    [...bridge.content.list(call, [])].map(({ digest }) => digest),
    [parent],
  );
  assert.deepEqual(trees(bridge), ['base', 'top']);
  assert.deepEqual(
    [...bridge.leases.list(call, [])].map(({ id }) => id),
    ['flat'],
  );
});

test('uploads are kept while they are open, leased or young, and go after that', async () => {
  await using bridge = await openBridge();
  const { content, ledger } = bridge;
  const age = (): void => {
    for (const { ref } of ledger.ingests.list('default')) {
      ledger.ingests.open('default', ref, { total: 0, expected: '', expiresAt: new Date(0) });
    }
  };
  await bridge.leases.create(call, 'work', {});
  await using open = await content.writer(call, { ref: 'open' });
  await (await content.writer(call, { ref: 'old' })).close();
  await (await content.writer(leased('work'), { ref: 'leased' })).close();
  age();
  await (await content.writer(call, { ref: 'young' })).close();
  await bridge.gc.run(call.signal);
  const refs = async (): Promise<string[]> => (await content.statuses(call, [])).map(({ ref }) => ref);
  assert.deepEqual(await refs(), ['leased', 'open', 'young']);
  await open.close();
  await bridge.leases.delete(call, 'work', { sync: true });
  assert.deepEqual(await refs(), ['young']);
  assert.equal((await Array.fromAsync(bridge.store.ingests(call.signal))).length, 1);
});

test('a disk that refuses is told to the one who waited, and cleaned up at the next start', async () => {
  await using bridge = await openBridge();
  await bridge.leases.create(call, 'work', {});
  await layer(bridge, leased('work'), 'base');
  const digest = await upload(bridge, leased('work'), 'x');
  bridge.driver.remove = () => Promise.reject(new Error('device or resource busy'));
  await assert.rejects(bridge.leases.delete(call, 'work', { sync: true }), /busy/);
  assert.equal(await bridge.store.size(digest), undefined);
  assert.deepEqual(trees(bridge), []);
  await using next = await bridge.restart();
  await next.gc.boot(call.signal);
  assert.deepEqual(await Array.fromAsync(next.driver.list()), []);
});
