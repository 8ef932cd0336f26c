import assert from 'node:assert/strict';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { call, container, openBridge, type Bridge } from '../../test/support/bridge.ts';

const stdio = { stdin: '', stdout: '', stderr: '', terminal: false };
const signal = call.signal;

async function running(bridge: Bridge, id: string): Promise<void> {
  await container(bridge, id);
  await bridge.tasks.create(call, { id, rootfs: [], stdio });
  await bridge.tasks.start(call, id, '');
}

const exits = (bridge: Bridge): number[] =>
  bridge.published
    .filter(({ topic }) => topic === '/tasks/exit')
    .map(({ payload }) => (payload.kind === 'plain' ? Number(payload.fields['exitStatus']) : -1));

test('what runs on is watched again, and its end is told once', async () => {
  await using bridge = await openBridge();
  await running(bridge, 'web');
  await bridge.tasks.exec(call, 'web', 'shell', Buffer.from('{}'), stdio);
  await bridge.tasks.start(call, 'web', 'shell');
  await using next = await bridge.restart();
  await next.tasks.reconcile(signal);
  assert.equal((await next.tasks.get(call, 'web', '')).status, 'running');
  next.runtime.end('default', 'web', 1, 'shell');
  next.runtime.end('default', 'web', 2);
  assert.equal((await next.tasks.wait(call, 'web', 'shell')).status, 1);
  assert.equal((await next.tasks.wait(call, 'web', '')).status, 2);
  assert.deepEqual(
    exits(next).toSorted((a, b) => a - b),
    [1, 2],
  );
});

test('what ended while the daemon was away is recorded with its real exit before anybody may ask', async () => {
  await using bridge = await openBridge();
  await running(bridge, 'web');
  const { runtime, ledger } = bridge;
  // The daemon is killed: nobody hears of the end.
  await bridge.tasks.close();
  runtime.end('default', 'web', 42);
  assert.equal(ledger.processes.find('default', 'web', '')?.status, 'running');
  await using next = await bridge.restart();
  const wait = runtime.wait.bind(runtime);
  runtime.wait = async (ref, ends) => {
    for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
    return wait(ref, ends);
  };
  await next.tasks.reconcile(signal);
  assert.equal(next.tasks.runState(call, 'web')?.exitCode, 42);
  assert.deepEqual(exits(next), [42]);
  await using third = await next.restart();
  await third.tasks.reconcile(signal);
  assert.deepEqual(exits(third), []);
  assert.equal((await third.tasks.delete(call, 'web', '')).status, 42);
});

test('what no shim knows any more is lost: exit 255, said so, and it can be deleted', async () => {
  await using bridge = await openBridge();
  await running(bridge, 'web');
  await bridge.tasks.exec(call, 'web', 'shell', Buffer.from('{}'), stdio);
  await bridge.tasks.close();
  bridge.runtime.processes.clear();
  await using next = await bridge.restart();
  await next.tasks.reconcile(signal);
  const state = next.tasks.runState(call, 'web');
  assert.deepEqual([state?.status, state?.exitCode], ['exited', 255]);
  assert.match(state?.error ?? '', /lost/);
  assert.equal((await next.tasks.get(call, 'web', '')).status, 'stopped');
  assert.equal((await next.tasks.delete(call, 'web', '')).status, 255);
  await next.containers.delete(call, 'web');
});

test('what was half made is undone, and what the ledger does not know is ended', async () => {
  await using bridge = await openBridge();
  await container(bridge, 'half');
  bridge.ledger.processes.insert({ namespace: 'default', id: 'half', execId: '', stdio });
  for (const id of ['half', 'stray']) {
    const spec = Buffer.from('{}');
    await bridge.runtime.create({ namespace: 'default', id, spec, rootfs: [], stdio, runtime: { name: 'r' } });
  }
  await using next = await bridge.restart();
  const released: string[] = [];
  next.tasks.addHooks({
    prepare: async (_container, spec) => spec,
    exited: async () => {},
    released: async ({ id }) => void released.push(id),
  });
  await next.tasks.reconcile(signal);
  assert.deepEqual([...next.runtime.processes.keys()], []);
  assert.deepEqual(next.ledger.processes.all(), []);
  assert.deepEqual(released, ['half', 'stray']);
  await next.tasks.create(call, { id: 'half', rootfs: [], stdio });
});

test('a task that was started just before a kill is known as running', async () => {
  await using bridge = await openBridge();
  await container(bridge, 'web');
  await bridge.tasks.create(call, { id: 'web', rootfs: [], stdio });
  await bridge.runtime.start({ namespace: 'default', id: 'web', execId: '' });
  await using next = await bridge.restart();
  await next.tasks.reconcile(signal);
  assert.equal(next.tasks.runState(call, 'web')?.status, 'running');
});

test('directories of containers that are gone are removed', async () => {
  await using bridge = await openBridge();
  await running(bridge, 'web');
  await mkdir(join(bridge.root, 'containers', 'default', 'gone'), { recursive: true });
  await bridge.tasks.reconcile(signal);
  assert.deepEqual(await readdir(join(bridge.root, 'containers', 'default')), ['web']);
});
