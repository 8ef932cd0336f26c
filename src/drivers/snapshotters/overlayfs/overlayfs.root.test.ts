import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { silent } from '#base/log.ts';
import type { Layer, SnapshotDriver, SnapshotId } from '#core/snapshots.ts';
import { snapshotDriverSuite, type SnapshotDriverUnderTest } from '#core/suites/snapshot-driver.ts';
import { mountAll, unmountAll } from '#sys/mount.ts';
import { OverlayfsDriver } from './overlayfs.ts';
import { probeOverlay } from './probe.ts';

const never = new AbortController().signal;
const id = (text: string): SnapshotId => text as SnapshotId;

async function open(root: string): Promise<SnapshotDriver> {
  const driver = await OverlayfsDriver.start(root, [], silent, never);
  assert.ok(!('skip' in driver), 'skip' in driver ? driver.skip : '');
  return driver;
}

async function house(): Promise<SnapshotDriverUnderTest> {
  const root = await mkdtemp(path.join(os.tmpdir(), 'hako-overlayfs-'));
  return {
    driver: await open(root),
    restart: () => open(root),
    mount: mountAll,
    unmount: unmountAll,
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

// Where the kernel has no overlayfs for us, the driver says so itself, and that is what the skipped suite shows.
const probe = await mkdtemp(path.join(os.tmpdir(), 'hako-overlayfs-'));
const probed = probeOverlay(probe, []);
await rm(probe, { recursive: true });
if ('skip' in probed) test('OverlayfsDriver', { skip: probed.skip }, () => {});
else registerAll();

function registerAll(): void {
  snapshotDriverSuite('OverlayfsDriver', house);

  test('overlayfs on overlayfs is left out, and the reason says what to do', async () => {
    const root = await mkdtemp(path.join(os.tmpdir(), 'hako-overlayfs-'));
    const at = (name: string): string => path.join(root, name);
    for (const name of ['lower', 'upper', 'work', 'merged']) await mkdir(at(name));
    mountAll(
      [
        {
          type: 'overlay',
          source: 'overlay',
          options: [`lowerdir=${at('lower')}`, `upperdir=${at('upper')}`, `workdir=${at('work')}`],
        },
      ],
      at('merged'),
    );
    try {
      const driver = await OverlayfsDriver.start(at('merged/root'), [], silent, never);
      assert.ok('skip' in driver && /cannot lie on overlayfs/.test(driver.skip) && /native/.test(driver.skip));
    } finally {
      unmountAll(at('merged'));
      await rm(root, { recursive: true, force: true });
    }
  });

  test('a tree with ids of its own belongs to its root, and its mounts say so', async () => {
    const root = await mkdtemp(path.join(os.tmpdir(), 'hako-overlayfs-'));
    try {
      const features = { remapIds: true, upperdirLabel: true };
      const driver = await OverlayfsDriver.start(root, [], silent, never, features);
      assert.ok(!('skip' in driver));
      const labels = {
        'containerd.io/snapshot/uidmapping': '0:1000:65536',
        'containerd.io/snapshot/gidmapping': '0:2000:65536',
      };
      const plain: Layer = { id: id('1'), namespace: 'n', parents: [], readonly: false, labels: {} };
      const mapped: Layer = { ...plain, id: id('2'), parents: [id('1')], labels };
      await driver.create(plain, never);
      await writeFile(path.join(root, '1/fs/file'), '');
      await driver.create(mapped, never);
      const { uid, gid } = await stat(path.join(root, '2/fs'));
      assert.deepEqual([uid, gid], [1000, 2000]);
      const [mount] = await driver.mounts(mapped, never);
      assert.deepEqual(mount?.options.slice(0, 3), [
        'uidmap=0:1000:65536',
        'gidmap=0:2000:65536',
        `workdir=${path.join(root, '2/work')}`,
      ]);
      assert.deepEqual((await driver.mounts({ ...mapped, parents: [] }, never))[0]?.options, [
        'uidmap=0:1000:65536',
        'gidmap=0:2000:65536',
        'rw',
        'rbind',
      ]);
      await mkdir(path.join(root, 'target'));
      mountAll(await driver.mounts(mapped, never), path.join(root, 'target'));
      try {
        assert.equal((await stat(path.join(root, 'target/file'))).uid, 1000);
      } finally {
        unmountAll(path.join(root, 'target'));
      }
      assert.deepEqual(driver.facts(id('2')), {
        'containerd.io/snapshot/overlay.upperdir': path.join(root, '2/fs'),
      });
      const wrong = { ...mapped, id: id('3'), labels: { 'containerd.io/snapshot/uidmapping': '0:1' } };
      await assert.rejects(driver.create(wrong, never), { code: 'invalid-argument' });
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  });

  test('what an interrupted driver left is swept at the next start', async () => {
    const root = await mkdtemp(path.join(os.tmpdir(), 'hako-overlayfs-'));
    try {
      for (const name of ['new-5-1-1/fs', 'rm-6-1-1/fs/deep', 'probe-x/merged', '7/fs'])
        await mkdir(path.join(root, name), { recursive: true });
      await writeFile(path.join(root, 'rm-6-1-1/fs/deep/file'), '');
      await open(root);
      // The sweep goes on in the background.
      while ((await readdir(root)).length > 1) await new Promise((resolve) => setTimeout(resolve, 10));
      assert.deepEqual(await readdir(root), ['7']);
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  });

  test('options of the configuration come first and are not doubled', async () => {
    const root = await mkdtemp(path.join(os.tmpdir(), 'hako-overlayfs-'));
    try {
      const chosen = probeOverlay(root, ['index=on', 'volatile']);
      assert.ok('options' in chosen);
      assert.deepEqual(chosen.options, ['index=on', 'volatile']);
      const wrong = probeOverlay(root, ['nonsense=1']);
      assert.ok('skip' in wrong && /does not work/.test(wrong.skip));
      assert.deepEqual(await readdir(root), []);
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  });
}
