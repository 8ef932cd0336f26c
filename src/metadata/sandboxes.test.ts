import assert from 'node:assert/strict';
import { test } from 'node:test';
import { now } from '#base/moment.ts';
import type { Sandbox } from '#core/sandboxes.ts';
import type { Change } from './changes.ts';
import { Ledger } from './ledger.ts';

const at = now();
const plain: Sandbox = {
  id: 'one',
  labels: { 'containerd.io/gc.ref.content': 'sha256:a' },
  runtime: { name: 'io.containerd.runc.v2' },
  sandboxer: '',
  extensions: {},
  createdAt: at,
  updatedAt: at,
};

test('a sandbox is kept as it was put, and the collector is told of every write', () => {
  const { sandboxes, changes } = new Ledger({ path: ':memory:' });
  const told: Change[] = [];
  changes.watch((change) => void told.push(change));
  const full: Sandbox = {
    ...plain,
    runtime: { name: 'r', options: { typeUrl: 'o', value: new Uint8Array([0, 255]) } },
    spec: { typeUrl: 's', value: new Uint8Array() },
    sandboxer: 'shim',
    extensions: { 'a/b': { typeUrl: 't', value: new Uint8Array([1]) } },
  };
  sandboxes.put('default', plain);
  assert.deepEqual(sandboxes.find('default', 'one'), plain);
  sandboxes.put('default', full);
  assert.deepEqual(sandboxes.find('default', 'one'), full);
  assert.equal(sandboxes.find('other', 'one'), undefined);
  assert.deepEqual(sandboxes.references(), [{ namespace: 'default', id: 'one', labels: plain.labels }]);
  assert.equal(sandboxes.delete('default', 'one'), true);
  assert.equal(sandboxes.delete('default', 'one'), false);
  const change = { kind: 'sandbox', namespace: 'default', name: 'one' } as const;
  const { labels } = plain;
  assert.deepEqual(told, [
    { ...change, labels },
    { ...change, labels },
    { ...change, gone: true },
  ]);
});

test('sandboxes are listed in the order of their ids, each namespace its own', () => {
  const { sandboxes } = new Ledger({ path: ':memory:' });
  for (const id of ['c', 'a', 'b']) sandboxes.put('default', { ...plain, id });
  sandboxes.put('other', plain);
  assert.deepEqual([...sandboxes.list('default').map(({ id }) => id)], ['a', 'b', 'c']);
});
