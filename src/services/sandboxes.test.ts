import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Call } from '#base/call.ts';
import { Ledger } from '#metadata/ledger.ts';
import { Sandboxes, type NewSandbox } from './sandboxes.ts';

const call: Call = { namespace: 'default', signal: new AbortController().signal };
const other: Call = { ...call, namespace: 'other' };
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const any = (text: string): { typeUrl: string; value: Uint8Array } => ({ typeUrl: 't', value: bytes(text) });
const one: NewSandbox = { id: 'one', labels: {}, runtime: { name: 'r' }, sandboxer: 'shim', extensions: {} };

function house(): { sandboxes: Sandboxes; ledger: Ledger } {
  const ledger = new Ledger({ path: ':memory:' });
  return { sandboxes: new Sandboxes({ ledger }), ledger };
}

test('a sandbox is kept as it was given, with its namespace and without empty labels, until it is deleted', async () => {
  const { sandboxes, ledger } = house();
  const made = await sandboxes.create(call, { ...one, labels: { a: 'b', e: '' }, spec: any('{}') });
  assert.deepEqual(made.labels, { a: 'b' });
  assert.deepEqual(sandboxes.get(call, 'one'), made);
  assert.ok(ledger.namespaces.find('default'));
  await assert.rejects(sandboxes.create(call, one), { code: 'already-exists' });
  await sandboxes.create(other, one);
  await sandboxes.delete(call, 'one');
  await assert.rejects(sandboxes.delete(call, 'one'), { code: 'not-found' });
  assert.throws(() => sandboxes.get(call, 'one'), { code: 'not-found' });
  assert.equal(sandboxes.get(other, 'one').id, 'one');
});

test('ids and extensions without a name are refused, with the codes that containerd gives', async () => {
  const { sandboxes } = house();
  for (const id of ['', '../x', 'a'.repeat(77)]) {
    await assert.rejects(sandboxes.create(call, { ...one, id }), {
      code: 'invalid-argument',
      message: /^failed to validate sandbox: invalid sandbox ID: /,
    });
  }
  await assert.rejects(sandboxes.create(call, { ...one, extensions: { '': any('x') } }), { code: 'unknown' });
  assert.deepEqual([...sandboxes.list(call, [])], []);
});

test('list() filters by id and labels, and by nothing else', async () => {
  const { sandboxes } = house();
  await sandboxes.create(call, { ...one, labels: { 'x.y': 'z' } });
  await sandboxes.create(call, { ...one, id: 'two' });
  const ids = (...filters: string[]): string[] => [...sandboxes.list(call, filters).map(({ id }) => id)];
  assert.deepEqual(ids(), ['one', 'two']);
  assert.deepEqual(ids('id==two'), ['two']);
  assert.deepEqual(ids('labels."x.y"==z', 'id~=^t'), ['one', 'two']);
  assert.deepEqual(ids('labels.x.y'), ['one']);
  assert.deepEqual(ids('runtime.name==r'), []);
  assert.deepEqual(ids('sandboxer==shim'), []);
  assert.throws(() => ids('id=='), { code: 'invalid-argument' });
});

test('update() takes what its field mask names, and all that may change without one', async () => {
  const { sandboxes } = house();
  const made = await sandboxes.create(call, { ...one, labels: { a: '1', b: '2' }, extensions: { x: any('x') } });
  const update = (more: Partial<NewSandbox>, ...paths: string[]) => sandboxes.update(call, { ...one, ...more }, paths);
  const labels = await update({ labels: { a: '3' }, runtime: { name: '' } }, 'labels.a', 'labels.b');
  assert.deepEqual(labels.labels, { a: '3' });
  assert.deepEqual(labels.runtime, { name: 'r' });
  assert.ok(labels.updatedAt > made.createdAt || labels.updatedAt.getTime() === made.createdAt.getTime());
  const extended = await update({ extensions: { y: any('y') } }, 'extensions.y', 'extensions.x');
  assert.deepEqual(extended.extensions, { y: any('y') });
  assert.deepEqual((await update({ spec: any('s') }, 'spec')).spec, any('s'));
  assert.equal((await update({}, 'spec')).spec, undefined);
  assert.deepEqual((await update({ runtime: { name: 'q', options: any('o') } }, 'runtime')).runtime.name, 'q');
  for (const path of ['sandboxer', 'id', 'created_at', 'nope']) {
    await assert.rejects(update({ labels: { no: 'no' } }, 'labels', path), { code: 'invalid-argument' });
  }
  await assert.rejects(update({}), { code: 'invalid-argument', message: /Runtime\.Name field is immutable/ });
  const all = await update({ runtime: { name: 'q' }, labels: { z: '1' }, sandboxer: 'other' });
  assert.deepEqual([all.labels, all.extensions, all.sandboxer], [{ z: '1' }, {}, 'shim']);
  assert.deepEqual(sandboxes.get(call, 'one'), all);
  await assert.rejects(sandboxes.update(other, one, []), { code: 'not-found' });
});
