import assert from 'node:assert/strict';
import { test } from 'node:test';
import { call, layer, leased, openBridge, upload } from '../../test/support/bridge.ts';

test('a lease holds what its calls make until it is deleted', async () => {
  await using bridge = await openBridge();
  await bridge.leases.create(call, 'work', { colour: 'blue' });
  const digest = await upload(bridge, leased('work'), 'held');
  await layer(bridge, leased('work'), 'base');
  await layer(bridge, leased('work'), 'top', 'base');
  await bridge.gc.run(call.signal);
  assert.deepEqual(bridge.leases.resources(call, 'work'), [
    { type: 'content', id: digest },
    { type: 'snapshots/overlayfs', id: 'base' },
    { type: 'snapshots/overlayfs', id: 'top' },
  ]);
  assert.equal(bridge.content.info(call, digest).size, 4);
  await bridge.leases.delete(call, 'work', { sync: true });
  assert.equal(bridge.content.find(call, digest), undefined);
  assert.equal(await bridge.store.size(digest), undefined);
  assert.deepEqual([...bridge.snapshots.list(call, '', [])], []);
  assert.deepEqual(await Array.fromAsync(bridge.driver.list()), []);
});

test('an id is made up when none is given, and taken only once', async () => {
  await using bridge = await openBridge();
  const made = await bridge.leases.create(call, '', {});
  assert.match(made.id, /^\d+-/);
  await assert.rejects(bridge.leases.create(call, made.id, {}), { message: `lease "${made.id}": already exists` });
  await assert.rejects(bridge.leases.delete(call, 'ghost', { sync: false }), { message: 'lease "ghost": not found' });
  assert.equal([...bridge.leases.list(call, [`id==${made.id}`])].length, 1);
});

test('resources are checked for their type', async () => {
  await using bridge = await openBridge();
  await bridge.leases.create(call, 'work', {});
  const add = (type: string, id: string): Promise<void> => bridge.leases.addResource(call, 'work', { type, id });
  await add('images', 'docker.io/library/a:latest');
  await assert.rejects(add('content', 'not a digest'), { code: 'invalid-argument' });
  await assert.rejects(add('snapshots', 'x'), { code: 'invalid-argument' });
  await assert.rejects(add('content/x', 'x'), { code: 'invalid-argument' });
  await assert.rejects(add('volumes', 'x'), { code: 'unimplemented' });
  await assert.rejects(bridge.leases.addResource(call, 'ghost', { type: 'images', id: 'x' }), { code: 'not-found' });
});

test('a call under a lease that does not exist makes nothing', async () => {
  await using bridge = await openBridge();
  await assert.rejects(upload(bridge, leased('ghost'), 'x'), { code: 'not-found', message: /lease "ghost"/ });
  await assert.rejects(bridge.snapshots.prepare(leased('ghost'), '', 'k', '', {}), { code: 'not-found' });
  assert.deepEqual(bridge.ledger.snapshots.all(), []);
  assert.deepEqual(bridge.ledger.ingests.all(), []);
});
