import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Call } from '#base/call.ts';
import { HakoError } from '#base/errors.ts';
import type { ActivationId, Activator } from '#core/activations.ts';
import { Ledger } from '#metadata/ledger.ts';
import { Mounts } from './mounts.ts';

const call: Call = { namespace: 'default', signal: new AbortController().signal };
const wanted = [{ type: 'format/bind', source: '/x', options: [] }];

/** The service over a ledger in memory; `disk` holds what is mounted, `fails` makes the next call fail. */
function house(): { mounts: Mounts; ledger: Ledger; disk: Set<string>; readonly fail: (error: Error) => void } {
  const disk = new Set<string>();
  let fails: Error | undefined;
  const failing = (): void => {
    const error = fails;
    fails = undefined;
    if (error !== undefined) throw error;
  };
  const activator: Activator = {
    activate: async (id, mounts) => {
      failing();
      disk.add(id);
      const active = [{ mount: mounts[0]!, mountedAt: new Date(1000), mountPoint: `/m/${id}`, data: {} }];
      return { active, system: mounts.slice(1) };
    },
    deactivate: async (id) => {
      failing();
      disk.delete(id);
    },
    list: async () => [...disk] as ActivationId[],
  };
  const ledger = new Ledger({ path: ':memory:' });
  return { mounts: new Mounts({ ledger, activator }), ledger, disk, fail: (error) => void (fails = error) };
}

test('what is activated can be looked at until it is deactivated', async () => {
  const { mounts, disk } = house();
  const info = await mounts.activate(call, 'a', wanted, { labels: { x: '1' } });
  assert.deepEqual(mounts.info(call, 'a'), info);
  assert.equal(info.active[0]?.mountPoint, '/m/1');
  assert.deepEqual(info.active[0]?.mountedAt, new Date(1000));
  await assert.rejects(mounts.activate(call, 'a', wanted), { code: 'already-exists' });
  await mounts.activate({ ...call, namespace: 'other' }, 'a', wanted);
  assert.deepEqual(mounts.list(call, []), [info]);
  assert.deepEqual(mounts.list(call, ['labels.x==2']), []);
  assert.deepEqual(mounts.update(call, { name: 'a', labels: { y: '2' } }, ['labels.y']).labels, { x: '1', y: '2' });
  assert.throws(() => mounts.update(call, { name: 'a', labels: {} }, ['system']), { code: 'invalid-argument' });
  await mounts.deactivate(call, 'a');
  await assert.rejects(mounts.deactivate(call, 'a'), { code: 'not-found' });
  assert.throws(() => mounts.info(call, 'a'), { code: 'not-found' });
  assert.deepEqual([...disk], ['2']);
});

test('what fails leaves neither a name nor a mount, and what cannot be unmounted keeps its name', async () => {
  const { mounts, disk, fail } = house();
  fail(new HakoError('unimplemented', 'nothing to do'));
  await assert.rejects(mounts.activate(call, 'a', wanted), { code: 'unimplemented' });
  await assert.rejects(mounts.activate(call, '', wanted), { code: 'invalid-argument' });
  await assert.rejects(mounts.activate({ ...call, lease: 'gone' }, 'a', wanted), { code: 'not-found' });
  await mounts.activate(call, 'a', wanted);
  fail(new Error('busy'));
  await assert.rejects(mounts.deactivate(call, 'a'), /busy/);
  assert.equal(mounts.info(call, 'a').name, 'a');
  await mounts.deactivate(call, 'a');
  assert.equal(disk.size, 0);
});

test('after a reboot nothing is active, and what a killed daemon had begun is undone', async () => {
  const { mounts, ledger, disk } = house();
  for (const name of ['kept', 'lost']) await mounts.activate(call, name, wanted);
  disk.delete('2');
  const begun = ledger.activations.insert({ namespace: 'default', name: 'begun', lease: '', labels: {} });
  disk.add(begun).add('99');
  await mounts.reconcile();
  assert.deepEqual(
    mounts.list(call, []).map(({ name }) => name),
    ['kept'],
  );
  assert.deepEqual([...disk], ['1']);
  await mounts.activate(call, 'begun', wanted);
});

test('the collector sees each with its lease, and removes what it is told to', async () => {
  const { mounts, ledger, disk } = house();
  ledger.leases.insert('default', { id: 'l', labels: {}, createdAt: new Date() });
  await mounts.activate({ ...call, lease: 'l' }, 'leased', wanted, { labels: { a: 'b' } });
  await mounts.activate(call, 'free', wanted);
  assert.deepEqual(
    [...mounts.all()],
    [
      { namespace: 'default', name: 'leased', lease: 'l', active: false, labels: { a: 'b' } },
      { namespace: 'default', name: 'free', active: false, labels: {} },
    ],
  );
  await mounts.remove('default', 'free', call.signal);
  await mounts.remove('default', 'free', call.signal);
  assert.deepEqual([...disk], ['1']);
});
