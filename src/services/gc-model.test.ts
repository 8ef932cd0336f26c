import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SnapshotId } from '#core/snapshots.ts';
import type { Ledger } from '#metadata/ledger.ts';
import { call, openBridge } from '../../test/support/bridge.ts';
import { randomWorld, survivors, worldName, type World } from '../../test/support/gc-world.ts';

/** More of them, or the one that failed: HAKO_GC_CASES=100000, HAKO_GC_SEED=1234 HAKO_GC_CASES=1. */
const firstSeed = Number(process.env['HAKO_GC_SEED'] ?? 1);
const cases = Number(process.env['HAKO_GC_CASES'] ?? 1500);
const rules = {
  images: true,
  backReferences: true,
  conditions: true,
  ingests: true,
  snapshotters: ['overlayfs', 'native'],
};

function settle(ledger: Ledger, world: World): void {
  ledger.transaction(() => {
    const trees = new Map<string, SnapshotId>();
    for (const { kind, namespace, name, labels, snapshotter = '', on = '', fresh } of world.things) {
      const dates = { createdAt: new Date(), updatedAt: new Date() };
      switch (kind) {
        case 'content':
          ledger.blobs.put(namespace, { digest: name, size: 1, labels, ...dates });
          break;
        case 'snapshot': {
          const parent = trees.get(`${namespace} ${snapshotter} ${on}`);
          const id = ledger.snapshots.insert({ namespace, snapshotter, key: name, kind: 'view', parent, labels });
          ledger.snapshots.confirm(id);
          trees.set(`${namespace} ${snapshotter} ${name}`, id);
          break;
        }
        case 'image':
          ledger.images.put(namespace, { name, labels, target: { mediaType: 'a/b', digest: on, size: 1 }, ...dates });
          break;
        case 'container': {
          const container = {
            id: name,
            image: '',
            labels,
            runtime: { name: 'r' },
            sandbox: '',
            extensions: {},
            ...dates,
          };
          ledger.containers.put(namespace, { ...container, snapshotter, snapshotKey: on });
          break;
        }
        case 'ingest': {
          const expiresAt = new Date(Date.now() + (fresh === true ? 3_600_000 : -1));
          ledger.ingests.open(namespace, name, { total: 0, expected: '', expiresAt });
        }
      }
    }
    for (const { namespace, id, labels, resources } of world.leases) {
      ledger.leases.insert(namespace, { id, labels, createdAt: new Date() });
      for (const resource of resources) ledger.leases.addResource(namespace, id, resource);
    }
  });
}

/** What is left, and then takes it away for the next world. */
function clear(ledger: Ledger): string[] {
  return ledger.transaction(() => {
    const names: string[] = [];
    for (const { namespace, digest } of ledger.blobs.all()) {
      names.push(worldName({ kind: 'content', namespace, name: digest }));
      ledger.blobs.delete(namespace, digest);
    }
    for (const { namespace, snapshotter, key, id } of ledger.snapshots.all()) {
      names.push(worldName({ kind: 'snapshot', namespace, snapshotter, name: key }));
      ledger.snapshots.delete(id);
    }
    for (const { namespace, name } of ledger.images.all()) {
      names.push(worldName({ kind: 'image', namespace, name }));
      ledger.images.delete(namespace, name);
    }
    for (const { namespace, id } of ledger.containers.ids()) {
      names.push(worldName({ kind: 'container', namespace, name: id }));
      ledger.containers.delete(namespace, id);
    }
    for (const { namespace, ref, id } of ledger.ingests.all()) {
      names.push(worldName({ kind: 'ingest', namespace, name: ref }));
      ledger.ingests.delete(id);
    }
    for (const { namespace, id } of ledger.leases.all()) {
      names.push(worldName({ kind: 'lease', namespace, name: id }));
      ledger.leases.delete(namespace, id);
    }
    return names.toSorted();
  });
}

for (const { title, smallLedgerRows, every } of [
  { title: 'on the event loop', smallLedgerRows: 1_000_000, every: 1 },
  { title: 'in the worker', smallLedgerRows: -1, every: 4 },
]) {
  test(`what the collector keeps of random worlds, searching ${title}, is what the rules say`, async () => {
    await using bridge = await openBridge({ gc: { smallLedgerRows } });
    for (let seed = firstSeed; seed < firstSeed + cases; seed += every) {
      const world = randomWorld(seed, rules);
      settle(bridge.ledger, world);
      const expected = survivors(world);
      const planned = (await bridge.gc.plan('', call.signal)).items.length;
      const before = world.things.length + world.leases.length;
      await bridge.gc.run(call.signal);
      assert.deepEqual(clear(bridge.ledger), expected, `HAKO_GC_SEED=${seed} HAKO_GC_CASES=1`);
      assert.equal(planned, before - expected.length, `plan: HAKO_GC_SEED=${seed} HAKO_GC_CASES=1`);
    }
  });
}
