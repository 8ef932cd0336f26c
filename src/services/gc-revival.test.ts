import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { call, container, openBridge, type Bridge } from '../../test/support/bridge.ts';
import { randomNumbers } from '../../test/support/gc-world.ts';

const seed = Number(process.env['HAKO_GC_SEED'] ?? Date.now() % 1_000_000);
const digestOf = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;
const REF = 'containerd.io/gc.ref';
const target = { mediaType: 'application/vnd.oci.image.manifest.v1+json', size: 1 };

/** Images that have lost their name: manifest → config → upper tree → lower tree, a note that hangs on the manifest, and two blobs in a circle. */
function settleGarbage(bridge: Bridge, count: number): void {
  const { ledger } = bridge;
  const dates = { createdAt: new Date(), updatedAt: new Date() };
  const blob = (name: string, labels: Record<string, string>): void =>
    ledger.blobs.put('default', { digest: digestOf(name), size: 1, labels, ...dates });
  ledger.transaction(() => {
    for (let index = 0; index < count; index += 1) {
      const tree = { namespace: 'default', snapshotter: 'overlayfs', kind: 'committed', labels: {} } as const;
      const lower = ledger.snapshots.insert({ ...tree, key: `lower ${index}`, parent: undefined });
      const upper = ledger.snapshots.insert({ ...tree, key: `upper ${index}`, parent: lower });
      for (const id of [lower, upper])
        ledger.snapshots.commit(id, { key: keyOf(bridge, id), labels: {}, bytes: 1, inodes: 1 });
      blob(`manifest ${index}`, {
        [`${REF}.content.config`]: digestOf(`config ${index}`),
        [`${REF}.content.circle`]: digestOf(`left ${index}`),
      });
      blob(`config ${index}`, { [`${REF}.snapshot.overlayfs`]: `upper ${index}` });
      blob(`left ${index}`, { [`${REF}.content`]: digestOf(`right ${index}`) });
      blob(`right ${index}`, { [`${REF}.content`]: digestOf(`left ${index}`) });
      blob(`note ${index}`, {
        'containerd.io/gc.bref.content': digestOf(`manifest ${index}`),
        'containerd.io/gc.bref.container': `noted-${index}`,
      });
    }
  });
}

const keyOf = (bridge: Bridge, id: string): string => bridge.ledger.snapshots.byId(id)?.key ?? '';

/** All of it that is there. */
function parts(bridge: Bridge, index: number): string[] {
  const blobs = ['manifest', 'config', 'left', 'right', 'note'].filter(
    (what) => bridge.content.find(call, digestOf(`${what} ${index}`)) !== undefined,
  );
  const trees = ['upper', 'lower'].filter((what) =>
    bridge.ledger.snapshots.find('default', 'overlayfs', `${what} ${index}`),
  );
  return [...blobs, ...trees].toSorted();
}

/** Ways to take a part up again, in the step in which it was seen to be there; and what that holds. */
const revivals: readonly { part: string; holds: string[]; by: (bridge: Bridge, index: number) => Promise<unknown> }[] =
  [
    {
      part: 'manifest',
      holds: ['config', 'left', 'lower', 'manifest', 'note', 'right', 'upper'],
      by: ({ images }, index) =>
        images.create(call, {
          name: `again ${index}`,
          labels: {},
          target: { ...target, digest: digestOf(`manifest ${index}`) },
        }),
    },
    {
      part: 'config',
      holds: ['config', 'lower', 'upper'],
      by: ({ leases }, index) =>
        leases.addResource(call, 'keeper', { type: 'content', id: digestOf(`config ${index}`) }),
    },
    {
      part: 'left',
      holds: ['left', 'right'],
      by: ({ content }, index) =>
        content.update(call, { digest: digestOf(`left ${index}`), labels: { 'containerd.io/gc.root': 'yes' } }, [
          'labels.containerd.io/gc.root',
        ]),
    },
    {
      part: 'upper',
      holds: ['lower', 'upper'],
      by: (bridge, index) => container(bridge, `web-${index}`, `upper ${index}`),
    },
    { part: 'lower', holds: ['lower'], by: ({ snapshots }, index) => onTop(snapshots, index) },
    { part: 'note', holds: ['note'], by: (bridge, index) => container(bridge, `noted-${index}`) },
  ];

async function onTop(snapshots: Bridge['snapshots'], index: number): Promise<void> {
  await snapshots.prepare(call, '', `work ${index}`, `lower ${index}`, { 'containerd.io/gc.root': 'yes' });
}

for (const { title, smallLedgerRows, pause } of [
  { title: 'on the event loop', smallLedgerRows: 1_000_000, pause: () => setImmediate() },
  // It takes longer: requests come more slowly, or all would have come before it begins.
  { title: 'in the worker', smallLedgerRows: -1, pause: () => setTimeout(1) },
]) {
  test(`garbage that is taken up again before the sweep (searched ${title}) comes to it stays, with all it holds`, async () => {
    const random = randomNumbers(seed);
    const count = 300;
    await using bridge = await openBridge({ gc: { smallLedgerRows } });
    await bridge.leases.create(call, 'keeper', {});
    // The worker is there already.
    await bridge.gc.plan('', call.signal);
    settleGarbage(bridge, count);
    let over = false;
    const collecting = bridge.gc.run(call.signal).finally(() => (over = true));
    const revived = new Map<number, string[]>();
    const doing: Promise<unknown>[] = [];
    while (!over) {
      for (let tries = 0; tries < 3; tries += 1) {
        const index = Math.floor(random() * count);
        const revival = revivals[Math.floor(random() * revivals.length)]!;
        if (revived.has(index) || !parts(bridge, index).includes(revival.part)) continue;
        revived.set(index, revival.holds);
        doing.push(revival.by(bridge, index));
      }
      await pause();
    }
    await Promise.all([collecting, ...doing]);
    await bridge.idle();
    assert.ok(revived.size > 10, `only ${revived.size} came in time`);
    for (let index = 0; index < count; index += 1) {
      assert.deepEqual(parts(bridge, index), revived.get(index) ?? [], `${index}: HAKO_GC_SEED=${seed}`);
    }
  });
}
