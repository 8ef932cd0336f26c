import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containerdDoor } from '#doors/containerd/door.ts';
import type { Services } from '#services/services.ts';
import { defaultConfig } from './config/load.ts';
import { servicePlugins } from './service-plugins.ts';

test("every service of containerd's that is served is a plugin, and no other", () => {
  const api = containerdDoor({} as Services);
  const names = (served: typeof api): string[] =>
    servicePlugins(served, defaultConfig()).flatMap(({ type, id }) => (type === 'io.containerd.grpc.v1' ? [id] : []));
  const containerds = api.filter(({ desc }) => /^(containerd\.services|grpc\.health)\./.test(desc.typeName));
  assert.equal(names(api).length, containerds.length);
  assert.ok(names(api).includes('leases'));
  const fewer = api.filter(({ desc }) => desc.typeName !== 'containerd.services.leases.v1.Leases');
  assert.ok(!names(fewer).includes('leases'));
  assert.ok(!servicePlugins(fewer, defaultConfig()).some(({ type }) => type === 'io.containerd.lease.v1'));
});

test('whoever keeps data says where, and all requirements are there', () => {
  const config = { ...defaultConfig(), root: '/r' };
  const plugins = servicePlugins(containerdDoor({} as Services), config);
  assert.equal(plugins.find(({ type }) => type === 'io.containerd.metadata.v1')?.exports['path'], '/r/ledger.db');
  const others = ['content.v1', 'snapshotter.v1', 'differ.v1', 'runtime.v2', 'gc.v1', 'sandbox.controller.v1'].map(
    (name) => `io.containerd.${name}`,
  );
  const types = new Set([...others, ...plugins.map(({ type }) => type)]);
  assert.deepEqual(
    plugins.flatMap(({ requires }) => requires).filter((type) => !types.has(type)),
    [],
  );
});
