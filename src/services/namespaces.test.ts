import assert from 'node:assert/strict';
import { test } from 'node:test';
import { call, container, openBridge } from '../../test/support/bridge.ts';

test('a namespace is called into being by its first object, or by hand', async () => {
  await using bridge = await openBridge();
  assert.deepEqual(bridge.namespaces.list(), []);
  await container(bridge, 'web');
  await bridge.namespaces.create({ name: 'a', labels: { colour: 'blue' } });
  assert.deepEqual(bridge.namespaces.list(), [
    { name: 'a', labels: { colour: 'blue' } },
    { name: 'default', labels: {} },
  ]);
  await assert.rejects(bridge.namespaces.create({ name: 'a', labels: {} }), {
    code: 'already-exists',
    message: 'namespace "a": already exists',
  });
  await assert.rejects(bridge.namespaces.create({ name: '../a', labels: {} }), { code: 'invalid-argument' });
});

test('labels are replaced, or set and removed one by one', async () => {
  await using bridge = await openBridge();
  const { namespaces } = bridge;
  await namespaces.create({ name: 'a', labels: { one: '1', two: '2' } });
  await namespaces.update({ name: 'a', labels: { one: '', three: '3' } }, ['labels.one', 'labels.three']);
  assert.deepEqual(namespaces.get('a').labels, { two: '2', three: '3' });
  await namespaces.update({ name: 'a', labels: { four: '4' } }, []);
  assert.deepEqual(namespaces.get('a').labels, { four: '4' });
  await assert.rejects(namespaces.update({ name: 'a', labels: {} }, ['name']), {
    message: 'cannot update "name" field',
  });
});

test('a namespace with anything in it is not deleted, and the message says what', async () => {
  await using bridge = await openBridge();
  await container(bridge, 'web');
  await bridge.snapshots.prepare(call, '', 'tree', '', { 'containerd.io/gc.root': 'yes' });
  await assert.rejects(bridge.namespaces.delete('default'), {
    code: 'failed-precondition',
    message:
      'namespace "default" must be empty, but it still has containers, snapshots on "overlayfs" snapshotter: ' +
      'failed precondition',
  });
  await bridge.containers.delete(call, 'web');
  await bridge.snapshots.remove(call, '', 'tree');
  await bridge.namespaces.delete('default');
  await assert.rejects(bridge.namespaces.delete('default'), { message: 'namespace "default": not found' });
});
