import { create } from '@bufbuild/protobuf';
import { AnySchema, timestampDate } from '@bufbuild/protobuf/wkt';
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Call } from '#base/call.ts';
import { invalid } from '#base/errors.ts';
import { silent } from '#base/log.ts';
import { Controller, Store } from '#proto/gen/containerd/services/sandbox/v1/sandbox_pb.ts';
import type { SandboxController, SandboxControllers } from '#services/sandbox-controllers.ts';
import type { Sandboxes } from '#services/sandboxes.ts';
import { GrpcClient } from '#wire/grpc-client.ts';
import { GrpcServer } from '#wire/grpc-server.ts';
import { sandboxControllerService, sandboxStoreService } from './sandboxes.ts';

const date = new Date('2026-03-04T05:06:07.089Z');
const any = (typeUrl: string) => create(AnySchema, { typeUrl, value: new Uint8Array([1, 2]) });

/** The two services on a socket, over plain objects. */
async function house(
  t: TestContext,
  parts: { store?: object; controller?: object; named?: (name: string) => void },
  headers: Record<string, string> = { 'containerd-namespace': 'default' },
): Promise<GrpcClient> {
  const named = (name: string): SandboxController => {
    parts.named?.(name);
    return (parts.controller ?? {}) as SandboxController;
  };
  const services = [
    sandboxStoreService((parts.store ?? {}) as Sandboxes),
    sandboxControllerService({ named } as SandboxControllers),
  ];
  const directory = await mkdtemp(join(tmpdir(), 'hako-door-'));
  const server = new GrpcServer(services, silent);
  await server.listen(join(directory, 'd.sock'));
  const client = new GrpcClient(join(directory, 'd.sock'), headers);
  t.after(async () => {
    client.close();
    await server.close(0);
    await rm(directory, { recursive: true });
  });
  return client;
}

test('a sandbox comes back from the store as it was sent', async (t) => {
  const keep = async (_call: Call, sandbox: object) => ({ ...sandbox, createdAt: date, updatedAt: date });
  const client = await house(t, { store: { create: keep, update: keep } });
  const sent = {
    sandboxId: 'one',
    runtime: { name: 'io.containerd.runc.v2', options: any('options') },
    spec: any('spec'),
    labels: { a: 'b' },
    extensions: { x: any('extension') },
    sandboxer: 'shim',
  };
  const { sandbox } = await client.service(Store).create({ sandbox: sent });
  assert.ok(sandbox?.createdAt && sandbox.updatedAt);
  assert.deepEqual(timestampDate(sandbox.createdAt), date);
  const { sandboxId, runtime, spec, labels, extensions, sandboxer } = sandbox;
  assert.deepEqual([sandboxId, labels, sandboxer], ['one', { a: 'b' }, 'shim']);
  assert.deepEqual([runtime?.name, runtime?.options?.typeUrl], ['io.containerd.runc.v2', 'options']);
  assert.deepEqual([spec?.typeUrl, [...(spec?.value ?? [])]], ['spec', [1, 2]]);
  assert.equal(extensions['x']?.typeUrl, 'extension');
  const missing = { code: 'invalid-argument' };
  await assert.rejects(client.service(Store).create({}), missing);
  await assert.rejects(client.service(Store).create({ sandbox: { sandboxId: 'x' } }), missing);
  await assert.rejects(client.service(Store).update({ fields: ['labels'] }), missing);
  // What a field mask does not name may be left out.
  await client.service(Store).update({ sandbox: { sandboxId: 'one' }, fields: ['labels'] });
});

test('all that is asked of a sandboxer reaches it, in the form of any release', async (t) => {
  const asked: unknown[] = [];
  const controller = {
    create: async (call: Call, told: string, request: object) => void asked.push([call.namespace, told, request]),
  };
  const client = await house(t, { controller });
  await client.service(Controller).create({ sandboxId: 'old', sandboxer: 'shim' });
  await client.service(Controller).create({
    sandboxId: 'new',
    sandboxer: 'shim',
    sandbox: { sandboxId: 'other', runtime: { name: 'r' }, labels: { a: 'b' } },
    rootfs: [{ type: 'bind', source: '/s', options: ['ro'] }],
    netnsPath: '/ns',
    annotations: { k: 'v' },
    options: any('o'),
  });
  const nothing = { rootfs: [], netns: '', annotations: {} };
  assert.deepEqual(asked[0], ['default', 'old', { sandbox: { id: 'old' }, ...nothing }]);
  const sandbox = { id: 'other', labels: { a: 'b' }, sandboxer: '', extensions: {}, runtime: { name: 'r' } };
  const rootfs = [{ type: 'bind', source: '/s', options: ['ro'] }];
  const options = { typeUrl: 'o', value: new Uint8Array([1, 2]) };
  assert.deepEqual(asked[1], ['default', 'new', { sandbox, rootfs, options, netns: '/ns', annotations: { k: 'v' } }]);
});

test("a status has Go's zero time where there is none, and always an extra", async (t) => {
  const status = { pid: 0, state: '', info: {}, exitedAt: date, address: '', version: 0 };
  const client = await house(t, { controller: { status: async () => status } });
  const { createdAt, exitedAt, extra, sandboxId } = await client
    .service(Controller)
    .status({ sandboxId: 'ghost', sandboxer: 's' });
  assert.equal(createdAt?.seconds, -62_135_596_800n);
  assert.deepEqual(exitedAt && timestampDate(exitedAt), date);
  assert.deepEqual([extra?.typeUrl, sandboxId], ['', 'ghost']);
});

test('the sandboxer is looked for before the namespace', async (t) => {
  const named = (name: string): void => {
    if (name === '') throw invalid('no name');
  };
  const client = await house(t, { named }, {});
  await assert.rejects(client.service(Controller).start({ sandboxId: 'one' }), { code: 'invalid-argument' });
  const start = client.service(Controller).start({ sandboxId: 'one', sandboxer: 'shim' });
  await assert.rejects(start, { code: 'failed-precondition' });
});

test('metrics may be none, and a start tells where the task API is', async (t) => {
  const started = {
    pid: 4,
    createdAt: date,
    labels: { a: 'b' },
    address: 'ttrpc+unix:///s',
    version: 3,
    spec: any('s'),
  };
  const metric = { id: 'one', at: date, data: any('m') };
  const measured: object[] = [];
  const client = await house(t, { controller: { start: async () => started, metrics: async () => measured[0] } });
  const ask = () => client.service(Controller).metrics({ sandboxId: 'one', sandboxer: 's' });
  assert.equal((await ask()).metrics, undefined);
  measured.push(metric);
  assert.equal((await ask()).metrics?.data?.typeUrl, 'm');
  const { pid, address, version, labels, spec } = await client
    .service(Controller)
    .start({ sandboxId: 'one', sandboxer: 's' });
  assert.deepEqual([pid, address, version, labels, spec?.typeUrl], [4, 'ttrpc+unix:///s', 3, { a: 'b' }, 's']);
});
