import assert from 'node:assert/strict';
import { test } from 'node:test';
import { call, container, openBridge } from '../../test/support/bridge.ts';

const stdio = { stdin: '', stdout: '', stderr: '', terminal: false };

test("a container is made once and what is missing is told in containerd's words", async () => {
  await using bridge = await openBridge();
  await container(bridge, 'web');
  await assert.rejects(container(bridge, 'web'), {
    code: 'already-exists',
    message: 'container "web": already exists',
  });
  assert.throws(() => bridge.containers.get(call, 'ghost'), {
    code: 'not-found',
    message: 'container "ghost" in namespace "default": not found',
  });
  assert.equal(bridge.containers.get(call, 'web').spec?.value.length, 2);
  assert.deepEqual([...bridge.containers.list(call, ['runtime.name==io.containerd.runc.v2', 'id==x'])].length, 1);
  await bridge.containers.delete(call, 'web');
  await assert.rejects(bridge.containers.delete(call, 'web'), { code: 'not-found' });
  assert.deepEqual(
    bridge.published.map(({ topic }) => topic),
    ['/containers/create', '/containers/delete'],
  );
});

test('a container must have a good id and a runtime; its spec may come later', async () => {
  await using bridge = await openBridge();
  await assert.rejects(container(bridge, 'a b'), {
    code: 'invalid-argument',
    message: /container\.ID: identifier "a b"/,
  });
  await container(bridge, 'web');
  const { spec: _, ...without } = bridge.containers.get(call, 'web');
  const bare = { ...without, runtime: { ...without.runtime, name: '' } };
  await assert.rejects(bridge.containers.create(call, { ...bare, id: 'x' }), /container\.Runtime\.Name must be set/);
  await bridge.containers.create(call, { ...without, id: 'x' });
  assert.equal(bridge.containers.get(call, 'x').spec, undefined);
  const later = { typeUrl: 't', value: Buffer.from('{}') };
  await bridge.containers.update(call, { ...without, id: 'x', spec: later }, ['spec']);
  assert.deepEqual(bridge.containers.get(call, 'x').spec?.typeUrl, 't');
  await assert.rejects(
    bridge.containers.update(call, { ...bridge.containers.get(call, 'web'), snapshotter: 'other' }, []),
    {
      message: 'container.Snapshotter field is immutable: invalid argument',
    },
  );
});

test('an update changes what its mask names', async () => {
  await using bridge = await openBridge();
  await container(bridge, 'web');
  const given = { ...bridge.containers.get(call, 'web'), image: 'other', labels: { a: 'b' } };
  assert.equal((await bridge.containers.update(call, given, ['labels.a'])).image, 'docker.io/library/test:latest');
  const any = { typeUrl: 't', value: new Uint8Array([1]) };
  const extended = await bridge.containers.update(call, { ...given, extensions: { 'x.y': any } }, ['extensions.x.y']);
  assert.deepEqual(extended.extensions, { 'x.y': any });
  assert.equal((await bridge.containers.update(call, given, [])).image, 'other');
  await assert.rejects(bridge.containers.update(call, given, ['runtime']), /cannot update "runtime" field on "web"/);
});

test('names and ids share one look-up space, and a label supplies the name', async () => {
  await using bridge = await openBridge();
  await container(bridge, 'c1');
  const first = bridge.containers.get(call, 'c1');
  await bridge.containers.update(call, { ...first, labels: { 'nerdctl/name': 'web' } }, ['labels']);
  assert.equal(bridge.ledger.names.find('default', 'web'), 'c1');
  await assert.rejects(container(bridge, 'web'), { code: 'already-exists' });
  await assert.rejects(bridge.containers.create(call, { ...first, id: 'c2', labels: { 'nerdctl/name': 'web' } }), {
    code: 'conflict',
  });
  assert.equal(bridge.containers.find(call, 'c2'), undefined);
  await bridge.containers.delete(call, 'c1');
  await container(bridge, 'web');
});

test('a container with a task is not deleted', async () => {
  await using bridge = await openBridge();
  await container(bridge, 'web');
  await bridge.tasks.create(call, { id: 'web', rootfs: [], stdio });
  await assert.rejects(bridge.containers.delete(call, 'web'), { code: 'failed-precondition', message: /has a task/ });
  await bridge.tasks.delete(call, 'web', '', { force: true });
  await bridge.containers.delete(call, 'web');
});
