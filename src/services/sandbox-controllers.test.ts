import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Call } from '#base/call.ts';
import { HakoError } from '#base/errors.ts';
import { now } from '#base/moment.ts';
import type { Container } from '#core/containers.ts';
import type { Sandboxer, SandboxStatus } from '#core/sandboxes.ts';
import { Ledger } from '#metadata/ledger.ts';
import type { Events } from './events.ts';
import { SandboxControllers } from './sandbox-controllers.ts';
import { checkSandbox } from './task-sandbox.ts';

const call: Call = { namespace: 'default', signal: new AbortController().signal };
const request = (id: string) => ({ sandbox: { id }, rootfs: [], netns: '', annotations: {} });
const stdio = { stdin: '', stdout: '', stderr: '', terminal: false };
const at = new Date(1000);

const container = (id: string, sandbox: string): Container => ({
  id,
  image: '',
  labels: {},
  runtime: { name: 'r' },
  snapshotter: '',
  snapshotKey: '',
  sandbox,
  extensions: {},
  createdAt: now(),
  updatedAt: now(),
});

/** The service over a sandboxer that notes what it is asked. */
function house(status: Partial<SandboxStatus> = {}, fails?: HakoError) {
  const ledger = new Ledger({ path: ':memory:' });
  const asked: string[] = [];
  const note = (what: string): void => {
    asked.push(what);
    if (fails !== undefined) throw fails;
  };
  const sandboxer = (name: string): Sandboxer => ({
    create: async ({ sandbox }) => note(`${name} create ${sandbox.id}`),
    start: async ({ id }) => {
      note(`${name} start ${id}`);
      return { pid: 5, labels: {}, address: 'ttrpc+unix:///s', version: 3 };
    },
    platform: async () => ({ os: 'linux', architecture: 'amd64' }),
    stop: async ({ id }, seconds) => note(`${name} stop ${id} ${seconds}`),
    wait: async () => ({ status: 7, at }),
    status: async () => ({
      pid: 5,
      state: 'SANDBOX_READY',
      info: {},
      address: 'ttrpc+unix:///s',
      version: 3,
      ...status,
    }),
    shutdown: async ({ id }) => note(`${name} shutdown ${id}`),
    metrics: async () => undefined,
    update: async (_ref, _sandbox, fields) => note(`${name} update ${fields.join()}`),
    reconcile: async (known) => note(`${name} ${known({ namespace: 'default', id: 'one' }) ? 'knows' : 'misses'}`),
  });
  const sandboxers = new Map(['shim', 'vm'].map((name) => [name, sandboxer(name)]));
  const told: string[] = [];
  const publish: Events['publish'] = (namespace, topic, payload) => {
    told.push(`${namespace} ${topic} ${JSON.stringify('fields' in payload ? payload.fields : {})}`);
  };
  const killed: string[] = [];
  const tasks = {
    kill: async (_call: Call, id: string, _exec: string, options: { signal: number; all: boolean }) =>
      void killed.push(`${id} ${options.signal}`),
  };
  const events = { publish } as Events;
  const controllers = new SandboxControllers({ ledger, events, tasks, sandboxers });
  return { ledger, controllers, sandboxers, asked, told, killed };
}

function run(ledger: Ledger, id: string, sandbox: string): void {
  ledger.containers.put('default', container(id, sandbox));
  ledger.processes.insert({ namespace: 'default', id, execId: '', stdio });
  ledger.processes.setStatus('default', id, '', 'running', 10);
}

test('a sandboxer is asked for by its name, which has no default', () => {
  const { controllers } = house();
  assert.throws(() => controllers.named(''), { code: 'invalid-argument' });
  assert.throws(() => controllers.named('nobody'), {
    code: 'not-found',
    message: /by nobody$/,
  });
});

test('what happens to a sandbox is told, and nothing that failed', async () => {
  const { controllers, told, asked } = house();
  const vm = controllers.named('vm');
  await vm.create(call, 'alias', request('one'));
  await vm.start(call, 'one');
  await vm.wait(call, 'one');
  await vm.update(call, 'one', { id: 'one' }, ['labels']);
  await assert.rejects(vm.update(call, 'one', undefined, []), { code: 'unknown' });
  assert.deepEqual(told, [
    'default /sandboxes/create {"sandboxId":"alias"}',
    'default /sandboxes/start {"sandboxId":"one"}',
    `default /sandboxes/exit ${JSON.stringify({ sandboxId: 'one', exitStatus: 7, exitedAt: at })}`,
  ]);
  assert.deepEqual(asked, ['vm create one', 'vm start one', 'vm update labels']);
  const broken = house({}, new HakoError('unavailable', 'gone'));
  await assert.rejects(broken.controllers.named('vm').create(call, 'one', request('one')), { code: 'unavailable' });
  await assert.rejects(broken.controllers.named('vm').start(call, 'one'), { code: 'unavailable' });
  assert.deepEqual(broken.told, []);
});

test("the shim's sandboxes take their containers with them, and share the names of tasks", async () => {
  const { controllers, ledger, killed, asked } = house();
  run(ledger, 'inside', 'one');
  run(ledger, 'outside', 'two');
  await controllers.named('vm').shutdown(call, 'one');
  assert.deepEqual(killed, []);
  await controllers.named('shim').stop(call, 'one', 3);
  await controllers.named('shim').shutdown(call, 'one');
  assert.deepEqual(killed, ['inside 9', 'inside 9']);
  assert.deepEqual(asked, ['vm shutdown one', 'shim stop one 3', 'shim shutdown one']);
  const create = controllers.named('shim').create(call, 'inside', request('inside'));
  await assert.rejects(create, { code: 'already-exists' });
});

test('after a start every sandboxer hears what the ledger knows, also when one fails', async () => {
  const { controllers, ledger, asked } = house({}, new HakoError('internal', 'broken'));
  const sandbox = { id: 'one', labels: {}, runtime: { name: 'r' }, sandboxer: '', extensions: {} };
  ledger.sandboxes.put('default', { ...sandbox, createdAt: now(), updatedAt: now() });
  await controllers.reconcile(call.signal);
  assert.deepEqual(asked, ['shim knows', 'vm knows']);
});

test('a container is let into a sandbox that runs, or that no store has', async () => {
  const { ledger, sandboxers } = house();
  const check = (parts: object, sandbox: string, address = '') =>
    checkSandbox({ ledger, sandboxers, ...parts }, call, container('c', sandbox), address);
  const row = { id: 'one', labels: {}, runtime: { name: 'r' }, sandboxer: '', extensions: {} };
  ledger.sandboxes.put('default', { ...row, createdAt: now(), updatedAt: now() });
  await check({}, '');
  await check({}, 'nowhere', 'ttrpc+unix:///other');
  await check({}, 'one');
  await check({}, 'one', 'ttrpc+unix:///s');
  await assert.rejects(check({}, 'one', 'grpc+vsock://3:1'), { code: 'unimplemented' });
  const missing = { code: 'not-found', message: "failed to start shim: can't find shim for sandbox one: not found" };
  await assert.rejects(check({ sandboxers: new Map() }, 'one'), missing);
  await assert.rejects(check({ sandboxers: house({ exitedAt: at }).sandboxers }, 'one'), missing);
  await assert.rejects(check({ sandboxers: house({ state: '' }).sandboxers }, 'one'), missing);
  run(ledger, 'one', '');
  await check({ sandboxers: new Map() }, 'one');
});
