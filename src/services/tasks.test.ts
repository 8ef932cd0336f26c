import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { HakoError } from '#base/errors.ts';
import { call, container, layer, openBridge, type Bridge } from '../../test/support/bridge.ts';

const stdio = { stdin: '', stdout: '/out', stderr: '', terminal: false };
const spec = Buffer.from('{}');

async function running(bridge: Bridge, id = 'web'): Promise<void> {
  await container(bridge, id);
  await bridge.tasks.create(call, { id, rootfs: [], stdio });
  await bridge.tasks.start(call, id, '');
}

const topics = (bridge: Bridge): string[] =>
  bridge.published.map(({ topic }) => topic).filter((topic) => topic.startsWith('/tasks/'));

/** Hooks that note what they were asked for. */
function notingHooks(bridge: Bridge): string[] {
  const notes: string[] = [];
  bridge.tasks.addHooks({
    prepare: async ({ namespace, id }, before) => {
      notes.push(`prepare ${namespace}/${id}`);
      return Buffer.from(`${Buffer.from(before).toString()} hooked`);
    },
    exited: async ({ id }, { status }) => void notes.push(`exited ${id} ${status}`),
    released: async ({ namespace, id }) => void notes.push(`released ${namespace}/${id}`),
  });
  return notes;
}

test('a task is made, started, waited for and deleted, and each step is told in order', async () => {
  await using bridge = await openBridge();
  const { tasks, runtime } = bridge;
  const notes = notingHooks(bridge);
  await running(bridge);
  assert.equal(Buffer.from(runtime.created[0]?.spec ?? []).toString(), '{} hooked');
  assert.equal((await tasks.get(call, 'web', '')).status, 'running');
  assert.equal(tasks.runState(call, 'web')?.status, 'running');
  const waiting = tasks.wait(call, 'web', '');
  runtime.end('default', 'web', 3);
  assert.equal((await waiting).status, 3);
  assert.equal((await tasks.wait(call, 'web', '')).status, 3);
  assert.equal((await tasks.delete(call, 'web', '')).status, 3);
  assert.equal(tasks.runState(call, 'web')?.exitCode, 3);
  assert.deepEqual(topics(bridge), ['/tasks/create', '/tasks/start', '/tasks/exit', '/tasks/delete']);
  assert.deepEqual(notes, ['prepare default/web', 'exited web 3', 'released default/web']);
  assert.deepEqual(await tasks.list(call), []);
});

test("without a rootfs the container's own tree is mounted", async () => {
  await using bridge = await openBridge();
  await layer(bridge, call, 'base', '', { 'containerd.io/gc.root': 'yes' });
  await bridge.snapshots.prepare(call, '', 'tree', 'base', {});
  await container(bridge, 'web', 'tree');
  await bridge.tasks.create(call, { id: 'web', rootfs: [], stdio });
  assert.deepEqual(bridge.runtime.created[0]?.rootfs, await bridge.snapshots.mounts(call, '', 'tree'));
  assert.match(bridge.runtime.created[0]?.log?.path ?? '', /containers\/default\/web\/log\.json$/);
});

test("every mistake has containerd's code and words", async () => {
  await using bridge = await openBridge();
  const { tasks } = bridge;
  await running(bridge);
  await container(bridge, 'idle');
  const create = (id: string): Promise<unknown> => tasks.create(call, { id, rootfs: [], stdio });
  const wrong: [() => Promise<unknown>, string, RegExp][] = [
    [() => create('ghost'), 'not-found', /^container "ghost" in namespace "default": not found$/],
    [() => create('web'), 'already-exists', /^task web: already exists$/],
    [() => tasks.get(call, 'idle', ''), 'not-found', /^task idle not found$/],
    [() => tasks.get(call, 'web', 'x'), 'not-found', /^process does not exist x: not found$/],
    [() => tasks.delete(call, 'web', ''), 'failed-precondition', /^task must be stopped before deletion: running/],
    [() => tasks.exec(call, 'web', '', spec, stdio), 'invalid-argument', /^exec id cannot be empty/],
    [() => tasks.exec(call, 'web', 'a/b', spec, stdio), 'invalid-argument', /^invalid exec id a\/b: identifier/],
  ];
  for (const [attempt, code, message] of wrong) await assert.rejects(attempt, { code, message }, String(message));
});

test('a task that could not be made leaves no row, and what its hooks took is given back', async () => {
  await using bridge = await openBridge();
  const notes = notingHooks(bridge);
  await container(bridge, 'web');
  const refusal = new HakoError('unavailable', 'shim did not start');
  bridge.runtime.failures.set('create', refusal);
  await assert.rejects(bridge.tasks.create(call, { id: 'web', rootfs: [], stdio }), refusal);
  assert.deepEqual(bridge.ledger.processes.all(), []);
  assert.deepEqual(notes, ['prepare default/web', 'released default/web']);
  bridge.runtime.failures.clear();
  await bridge.tasks.create(call, { id: 'web', rootfs: [], stdio });
});

test('a task that the ledger could not take in blocks neither the next one nor its removal', async (t) => {
  await using bridge = await openBridge();
  const { tasks, runtime, ledger } = bridge;
  await container(bridge, 'web');
  const full = (): never => {
    throw new HakoError('resource-exhausted', 'no space left');
  };
  for (const next of ['create', 'delete'] as const) {
    const broken = t.mock.method(ledger.processes, 'setStatus', full);
    await assert.rejects(tasks.create(call, { id: 'web', rootfs: [], stdio }), /no space left/);
    broken.mock.restore();
    assert.equal(ledger.processes.find('default', 'web', '')?.status, 'creating');
    if (next === 'create') await tasks.create(call, { id: 'web', rootfs: [], stdio });
    await tasks
      .delete(call, 'web', '', { force: true })
      .catch((error: HakoError) => assert.equal(error.code, 'not-found'));
    assert.deepEqual([...runtime.processes.keys()], []);
    assert.equal(ledger.processes.find('default', 'web', ''), undefined);
  }
  await bridge.containers.delete(call, 'web');
});

test('of two who make the same task at once exactly one wins', async () => {
  await using bridge = await openBridge();
  await container(bridge, 'web');
  const create = (): Promise<unknown> => bridge.tasks.create(call, { id: 'web', rootfs: [], stdio });
  const results = await Promise.allSettled([create(), create()]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  );
});

test('a process that ends before its start was answered is told as started first', async () => {
  await using bridge = await openBridge();
  const { runtime, tasks } = bridge;
  await container(bridge, 'web');
  await tasks.create(call, { id: 'web', rootfs: [], stdio });
  const start = runtime.start.bind(runtime);
  runtime.start = async (ref) => {
    const started = await start(ref);
    runtime.end('default', 'web', 0);
    await new Promise(setImmediate);
    return started;
  };
  await tasks.start(call, 'web', '');
  await tasks.wait(call, 'web', '');
  assert.deepEqual(topics(bridge), ['/tasks/create', '/tasks/start', '/tasks/exit']);
  assert.equal(tasks.runState(call, 'web')?.status, 'exited');
});

test('a start that fails is kept as the reason, and the task can be deleted', async () => {
  await using bridge = await openBridge();
  await container(bridge, 'web');
  await bridge.tasks.create(call, { id: 'web', rootfs: [], stdio });
  bridge.runtime.failures.set('start', new HakoError('not-found', 'exec: "nope": not in the image'));
  await assert.rejects(bridge.tasks.start(call, 'web', ''), { code: 'not-found' });
  assert.match(bridge.tasks.runState(call, 'web')?.error ?? '', /not in the image/);
  await bridge.tasks.delete(call, 'web', '');
  assert.deepEqual(bridge.ledger.processes.all(), []);
});

test('further processes live, end and are deleted beside the first one', async () => {
  await using bridge = await openBridge();
  const { tasks, runtime } = bridge;
  await running(bridge);
  await tasks.exec(call, 'web', 'shell', spec, stdio);
  await assert.rejects(tasks.exec(call, 'web', 'shell', spec, stdio), { code: 'already-exists' });
  const waiting = tasks.wait(call, 'web', 'shell');
  await tasks.start(call, 'web', 'shell');
  runtime.end('default', 'web', 7, 'shell');
  assert.equal((await waiting).status, 7);
  assert.equal((await tasks.delete(call, 'web', 'shell')).status, 7);
  await tasks.exec(call, 'web', 'never', spec, stdio);
  await tasks.delete(call, 'web', 'never');
  assert.equal((await tasks.get(call, 'web', '')).status, 'running');
  assert.deepEqual(topics(bridge).slice(2), [
    '/tasks/exec-added',
    '/tasks/exec-started',
    '/tasks/exit',
    '/tasks/exec-added',
  ]);
});

test('force kills what runs, frozen or not, and who waits for a deleted process is told', async () => {
  await using bridge = await openBridge();
  const { tasks } = bridge;
  await running(bridge);
  await tasks.exec(call, 'web', 'never', spec, stdio);
  const waiting = assert.rejects(tasks.wait(call, 'web', 'never'), { code: 'not-found' });
  await tasks.pause(call, 'web');
  assert.equal(tasks.runState(call, 'web')?.status, 'paused');
  assert.equal((await tasks.delete(call, 'web', '', { force: true })).status, 137);
  await waiting;
  assert.deepEqual(bridge.ledger.processes.all(), []);
});

test('only what runs can be paused, and only what is paused resumed', async () => {
  await using bridge = await openBridge();
  const { tasks } = bridge;
  await running(bridge);
  await assert.rejects(tasks.resume(call, 'web'), {
    code: 'failed-precondition',
    message: /cannot resume a running process/,
  });
  await tasks.pause(call, 'web');
  await assert.rejects(tasks.pause(call, 'web'), {
    code: 'failed-precondition',
    message: /cannot pause a paused container/,
  });
  await tasks.resume(call, 'web');
  bridge.runtime.end('default', 'web', 0);
  await tasks.wait(call, 'web', '');
  await assert.rejects(tasks.pause(call, 'web'), {
    code: 'failed-precondition',
    message: /cannot pause a stopped container/,
  });
});

test('a caller who leaves stops waiting, and the exit is recorded all the same', async () => {
  await using bridge = await openBridge();
  await running(bridge);
  const gone = new AbortController();
  const waiting = bridge.tasks.wait({ ...call, signal: gone.signal }, 'web', '');
  gone.abort();
  await assert.rejects(waiting, { name: 'AbortError' });
  bridge.runtime.end('default', 'web', 5);
  assert.equal((await bridge.tasks.wait(call, 'web', '')).status, 5);
});

test('a shim that does not answer is asked again, not taken for a death', async () => {
  await using bridge = await openBridge();
  const wait = bridge.runtime.wait.bind(bridge.runtime);
  let refusals = 2;
  bridge.runtime.wait = (ref, signal) => {
    refusals -= 1;
    return refusals >= 0 ? Promise.reject(new HakoError('unavailable', 'shim is starting')) : wait(ref, signal);
  };
  await running(bridge);
  bridge.runtime.end('default', 'web', 4);
  assert.equal((await bridge.tasks.wait(call, 'web', '')).status, 4);
});

test('a hook that fails keeps neither exit nor delete from happening', async () => {
  await using bridge = await openBridge();
  const fail = (): Promise<never> => Promise.reject(new Error('network gone'));
  bridge.tasks.addHooks({ prepare: async (_container, before) => before, exited: fail, released: fail });
  await running(bridge);
  bridge.runtime.end('default', 'web', 0);
  await bridge.tasks.wait(call, 'web', '');
  await bridge.tasks.delete(call, 'web', '');
  assert.equal(bridge.logged.filter(({ message }) => message.endsWith('hook failed')).length, 2);
});

test("a container's files go with the container", async () => {
  await using bridge = await openBridge();
  await running(bridge);
  const directory = `${bridge.root}/containers/default/web`;
  assert.ok(existsSync(directory));
  await bridge.tasks.delete(call, 'web', '', { force: true });
  assert.ok(existsSync(directory));
  await bridge.containers.delete(call, 'web');
  assert.ok(!existsSync(directory));
});
