import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { silent } from '#base/log.ts';
import type { Layer, SnapshotId } from '#core/snapshots.ts';
import { snapshotDriverSuite, type SnapshotDriverUnderTest } from '#core/suites/snapshot-driver.ts';
import { createSubvolume } from '#sys/btrfs.ts';
import { mountAll, unmountAll } from '#sys/mount.ts';
import { which } from '../../../../test/support/machine.ts';
import { BtrfsDriver } from './btrfs.ts';

const never = new AbortController().signal;
const run = (command: string, ...args: string[]): void => {
  execFileSync(command, args, { stdio: 'pipe' });
};

interface Place extends AsyncDisposable {
  readonly root: string;
}

/** A btrfs of its own, in a file. */
async function makePlace(): Promise<Place> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'hako-btrfs-'));
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rm(dir, { recursive: true, force: true }));
  const image = path.join(dir, 'image');
  await writeFile(image, '');
  await truncate(image, 512 * 1024 * 1024);
  run(which('mkfs.btrfs') ?? 'mkfs.btrfs', '-q', image);
  const root = path.join(dir, 'root');
  await mkdir(root);
  run('mount', '-o', 'loop', image, root);
  undo.defer(() => run('umount', root));
  const all = undo.move();
  return { root, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

async function open(root: string): Promise<BtrfsDriver> {
  const driver = await BtrfsDriver.start(root, silent, never);
  assert.ok(!('skip' in driver), 'skip' in driver ? driver.skip : '');
  return driver;
}

async function house(): Promise<SnapshotDriverUnderTest> {
  const place = await makePlace();
  return {
    driver: await open(place.root),
    restart: () => open(place.root),
    mount: mountAll,
    unmount: unmountAll,
    [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
  };
}

const layer = (id: string, ...parents: string[]): Layer => ({
  id: id as SnapshotId,
  namespace: 'test',
  parents: parents as SnapshotId[],
  readonly: false,
  labels: {},
});

async function whyNot(): Promise<string | undefined> {
  if (which('mkfs.btrfs') === undefined) return 'mkfs.btrfs is not installed (package btrfs-progs)';
  try {
    await using _place = await makePlace();
    return undefined;
  } catch (error) {
    return `no btrfs can be mounted here: ${error instanceof Error ? error.message : String(error)}`;
  }
}

const missing = await whyNot();
if (missing === undefined) registerAll();
else test('BtrfsDriver', { skip: missing }, () => {});

test("a root on another file system is left out in containerd's words", async () => {
  const root = await mkdtemp('/dev/shm/hako-btrfs-');
  try {
    const driver = await BtrfsDriver.start(root, silent, never);
    assert.ok('skip' in driver);
    assert.equal(driver.skip, `path ${root} (tmpfs) must be a btrfs filesystem to be used with the btrfs snapshotter`);
  } finally {
    await rm(root, { recursive: true });
  }
});

function registerAll(): void {
  snapshotDriverSuite('BtrfsDriver', house);

  test('a tree weighs what it has beyond its parent', async () => {
    await using place = await makePlace();
    const driver = await open(place.root);
    const at = (...names: string[]): string => path.join(place.root, ...names);
    await driver.create(layer('1'), never);
    await mkdir(at('1', 'etc'));
    await writeFile(at('1', 'etc/big'), Buffer.alloc(1_000_000, 1));
    await driver.seal(layer('1'), never);
    await driver.create(layer('2', '1'), never);
    assert.deepEqual(await driver.usage(layer('2', '1'), never), { bytes: 0, inodes: 0 });
    await writeFile(at('2', 'etc/new'), Buffer.alloc(100_000, 1));
    await mkdir(at('2', 'var/lib'), { recursive: true });
    await driver.sync(never);
    const { bytes, inodes } = await driver.seal(layer('2', '1'), never);
    assert.equal(inodes, 3);
    assert.ok(bytes >= 100_000 && bytes < 150_000, `${bytes}`);
    await assert.rejects(writeFile(at('2', 'etc/late'), ''), { code: 'EROFS' });
  });

  test('what a container made within its tree, subvolumes too, goes with it; so does what was half made', async () => {
    await using place = await makePlace();
    const driver = await open(place.root);
    const at = (...names: string[]): string => path.join(place.root, ...names);
    await driver.create(layer('1'), never);
    await mkdir(at('1', 'var/lib'), { recursive: true });
    assert.equal(createSubvolume(at('1', 'var/lib'), 'inner'), true);
    assert.equal(createSubvolume(at('1', 'var/lib/inner'), 'deepest'), true);
    assert.equal(createSubvolume(at('1', 'var/lib'), 'inner'), false);
    await driver.seal(layer('1'), never);
    await driver.remove('1' as SnapshotId, never);
    assert.equal(createSubvolume(place.root, 'new-7-1-1'), true);
    await open(place.root);
    assert.deepEqual(await readdir(place.root), []);
  });
}
