import assert from 'node:assert/strict';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { call, container, layer, leased, openBridge, upload, type Bridge } from '../../test/support/bridge.ts';
import type { Explanation } from './gc-explain.ts';
import { gcScheduleDefaults } from './gc-schedule.ts';

const target = { mediaType: 'application/vnd.oci.image.manifest.v1+json', size: 1 };
const inAnHour = new Date(Date.now() + 3_600_000).toISOString();
const other = { ...call, namespace: 'other' };

const print = ({ path }: Explanation): string[] =>
  path.map(({ key, relation }) => `${key.split('\0').join(' ')} (${relation})`);
const question = { namespace: '', snapshotter: '' };
async function why(bridge: Bridge, subject: string): Promise<string[][]> {
  return (await bridge.gc.explain({ ...question, subject })).map(print);
}

function diskBytes(directory: string): number {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}

for (const { title, smallLedgerRows } of [
  { title: 'the event loop', smallLedgerRows: 1_000_000 },
  { title: 'the worker', smallLedgerRows: -1 },
]) {
  test(`a plan of ${title} is what a run removes, item by item and byte by byte`, async () => {
    // No round of its own comes in between.
    const schedule = { ...gcScheduleDefaults, pauseThreshold: 0.0001 };
    await using bridge = await openBridge({ gc: { smallLedgerRows, schedule } });
    await bridge.gc.run(call.signal);
    const { leases, images, content, gc } = bridge;
    await leases.create(call, 'work', {});
    const on = leased('work');
    const kept = await upload(bridge, on, 'kept');
    const shared = await upload(bridge, on, 'shared by two');
    await assert.rejects(content.writer(other, { ref: 'r', expected: shared }), { code: 'already-exists' });
    await upload(bridge, on, 'loose', { 'containerd.io/gc.ref.content': kept });
    const twice = await upload(bridge, on, 'in two namespaces');
    await leases.create(other, 'theirs', {});
    await assert.rejects(content.writer({ ...other, lease: 'theirs' }, { ref: 'r', expected: twice }));
    await images.create(call, { name: 'image', labels: {}, target: { ...target, digest: kept } });
    await layer(bridge, on, 'base');
    await bridge.snapshots.prepare(on, '', 'active', 'base', {});
    const tree = bridge.ledger.snapshots.find('default', 'overlayfs', 'active')!;
    for (const name of ['a', 'b']) writeFileSync(join(bridge.driver.root, tree.id, name), '0123456789');
    const writer = await content.writer(on, { ref: 'upload' });
    await writer.write(Buffer.from('unfinished'));
    await writer.close();
    await leases.delete(call, 'work', { sync: false });

    const before = diskBytes(bridge.root + '/content') + diskBytes(bridge.driver.root);
    const plan = await gc.plan('', call.signal);
    const run = await gc.runAndTell(call.signal);
    const after = diskBytes(bridge.root + '/content') + diskBytes(bridge.driver.root);
    assert.deepEqual(run, plan);
    // The store keeps a few bytes of its own beside an upload.
    const own = before - after - plan.bytes;
    assert.ok(own >= 0 && own < 200, `${before - after} bytes went, ${plan.bytes} were planned`);
    const bytesOf = (word: string): number[] =>
      run.items.filter(({ key }) => key.includes(word)).map(({ bytes }) => bytes);
    assert.deepEqual(bytesOf(shared), [13, 0]);
    assert.deepEqual(bytesOf(twice), [0]);
    assert.deepEqual(bytesOf('active'), [20]);
    assert.deepEqual(bytesOf('upload'), [10]);
    assert.deepEqual(bytesOf(kept), []);
    assert.deepEqual((await gc.plan('', call.signal)).items, []);
  });
}

test('a plan of one namespace leaves the others out, and says when the next thing expires', async () => {
  await using bridge = await openBridge();
  await bridge.leases.create(call, 'soon', { 'containerd.io/gc.expire': inAnHour });
  await bridge.leases.create(call, 'gone', { 'containerd.io/gc.expire': '2020-01-01T00:00:00Z' });
  await bridge.leases.create(other, 'gone', { 'containerd.io/gc.expire': '2020-01-01T00:00:00Z' });
  const { items, nextExpiry } = await bridge.gc.plan('other', call.signal);
  assert.deepEqual(items, [{ key: 'lease\0other\0gone', bytes: 0 }]);
  assert.equal(nextExpiry?.toISOString(), inAnHour);
});

test('it is explained how a root holds a thing, by the shortest way that lasts longest', async () => {
  await using bridge = await openBridge();
  const name = 'docker.io/library/ark:latest';
  await bridge.leases.create(call, 'soon', { 'containerd.io/gc.expire': inAnHour });
  const on = leased('soon');
  await layer(bridge, on, 'base');
  await layer(bridge, on, 'top', 'base');
  const config = await upload(bridge, on, 'config', { 'containerd.io/gc.ref.snapshot.overlayfs': 'top' });
  const manifest = await upload(bridge, on, 'manifest', { 'containerd.io/gc.ref.content.config': config });
  assert.deepEqual(await why(bridge, 'base'), [
    ['lease default soon (a lease until it expires)', 'snapshot default overlayfs/base (lease)'],
  ]);
  await bridge.leases.create(call, 'pull', { 'hakobune.io/pull': name });
  const blob = await upload(bridge, leased('pull'), 'blob');
  assert.deepEqual(await why(bridge, blob), [
    [`lease default pull (the lease of an unfinished pull of ${name})`, `content default ${blob} (lease)`],
  ]);
  const [first] = await bridge.gc.explain({ ...question, subject: 'base' });
  assert.equal(first?.until, Date.parse(inAnHour));

  await bridge.images.create(call, { name, labels: {}, target: { ...target, digest: manifest } });
  const path = [
    `image default ${name} (an image)`,
    `content default ${manifest} (target)`,
    `content default ${config} (label containerd.io/gc.ref.content.config)`,
    'snapshot default overlayfs/top (label containerd.io/gc.ref.snapshot.overlayfs)',
    'snapshot default overlayfs/base (parent)',
  ];
  assert.deepEqual(await why(bridge, 'base'), [path]);
  assert.deepEqual(await why(bridge, 'ark'), [path.slice(0, 1)]);
  // A beginning of the digest is enough.
  assert.deepEqual(await why(bridge, config.slice(0, 20)), [path.slice(0, 3)]);
  assert.deepEqual(await why(bridge, config.slice(7, 20)), [path.slice(0, 3)]);
  assert.equal((await bridge.gc.explain({ ...question, subject: 'base' }))[0]?.until, undefined);

  await container(bridge, 'web', 'top');
  assert.deepEqual(await why(bridge, 'top'), [
    ['container default web (a container)', 'snapshot default overlayfs/top (snapshot)'],
  ]);
  assert.deepEqual(await why(bridge, 'web'), [['container default web (a container)']]);
});

test('what nothing holds is explained by no path, what a flat lease holds by it, and what is not there is not found', async () => {
  await using bridge = await openBridge();
  await bridge.leases.create(call, 'flat', { 'containerd.io/gc.flat': 'yes' });
  const child = await upload(bridge, call, 'child');
  const parent = await upload(bridge, leased('flat'), 'parent', { 'containerd.io/gc.ref.content': child });
  assert.deepEqual(await why(bridge, child), [[]]);
  assert.deepEqual(await why(bridge, parent), [
    ['lease default flat (a lease)', `content default ${parent} (flat lease)`],
  ]);
  await assert.rejects(why(bridge, 'ghost'), { code: 'not-found' });
  await assert.rejects(bridge.gc.explain({ ...question, subject: child, namespace: 'other' }), { code: 'not-found' });
});
