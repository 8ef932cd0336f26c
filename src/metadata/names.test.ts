import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from './ledger.ts';

function house(...ids: string[]): Ledger {
  const ledger = new Ledger({ path: ':memory:' });
  for (const id of ids) {
    ledger.containers.put('default', {
      id,
      image: '',
      labels: {},
      runtime: { name: 'r' },
      snapshotter: '',
      snapshotKey: '',
      sandbox: '',
      extensions: { 'a/b': { typeUrl: 't', value: new Uint8Array([1, 255]) } },
      createdAt: new Date(),
      updatedAt: new Date(),
    });
  }
  return ledger;
}

test('a container is found by id, by name with or without a slash, and by the beginning of its id', () => {
  const { names } = house('abc1', 'abd2');
  names.reserve('default', 'web', 'abc1');
  for (const ref of ['abc1', 'web', '/web', 'abc']) assert.equal(names.find('default', ref), 'abc1', ref);
  assert.equal(names.find('default', 'zzz'), undefined);
  assert.equal(names.find('other', 'abc1'), undefined);
  assert.throws(() => names.find('default', 'ab'), { code: 'invalid-argument' });
});

test('an id goes before a name, and a name before the beginning of an id', () => {
  const { names } = house('one', 'two');
  names.reserve('default', 'tw', 'one');
  assert.equal(names.find('default', 'tw'), 'one');
  assert.equal(names.find('default', 'two'), 'two');
});

test('a name that another container has, as name or id, is a conflict that says who has it', () => {
  const { names } = house('one', 'two');
  names.reserve('default', 'web', 'one');
  names.reserve('default', 'web', 'one');
  assert.throws(() => names.reserve('default', 'web', 'two'), { code: 'conflict', message: /"web".*"one"/ });
  assert.throws(() => names.reserve('default', 'one', 'two'), { code: 'conflict' });
  names.reserve('other', 'web', 'two');
});

test('rename frees the old name in the same step, and keeps it when the new one is taken', () => {
  const { names } = house('one', 'two');
  names.reserve('default', 'old', 'one');
  names.reserve('default', 'taken', 'two');
  assert.throws(() => names.rename('default', 'one', 'taken'), { code: 'conflict' });
  assert.equal(names.nameOf('default', 'one'), 'old');
  names.rename('default', 'one', 'new');
  assert.equal(names.nameOf('default', 'one'), 'new');
  names.reserve('default', 'old', 'two');
});

test('a name whose container was never made is freed at boot', () => {
  const { names } = house('one');
  names.reserve('default', 'kept', 'one');
  names.reserve('default', 'orphan', 'never');
  assert.equal(names.find('default', 'orphan'), undefined);
  names.dropOrphans();
  assert.equal(names.holder('default', 'orphan'), undefined);
  assert.equal(names.holder('default', 'kept'), 'one');
});

test('a container row gives back what was put in', () => {
  const ledger = house('one');
  const value = ledger.containers.find('default', 'one')?.extensions['a/b']?.value;
  assert.deepEqual(value, new Uint8Array([1, 255]));
});
