import assert from 'node:assert/strict';
import { chmod, chown, link, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { Mount } from '../mounts.ts';
import type { Layer, SnapshotDriver, SnapshotId, Usage } from '../snapshots.ts';

/** A driver to test, empty at first, and the means to mount what it says. */
export interface SnapshotDriverUnderTest extends AsyncDisposable {
  readonly driver: SnapshotDriver;
  /** The driver of a process that was killed and started again over the same disk. */
  restart(): Promise<SnapshotDriver>;
  mount(mounts: readonly Mount[], target: string): void;
  unmount(target: string): void;
}

/** The driver under test, and which of its trees are sealed. */
type House = SnapshotDriverUnderTest & { readonly sealed: Set<number> };

const never = new AbortController().signal;

const namespace = 'suite';

/** What the driver calls the tree, as the ledger would keep it: another name once it is sealed, if it has names at all. */
function nameOf({ driver, sealed: done }: House, id: number): SnapshotId {
  const plain = String(id) as SnapshotId;
  return driver.name?.({ namespace, id: plain, key: `${done.has(id) ? 'sealed' : 'active'} ${id}` }) ?? plain;
}

function layer(house: House, id: number, parents: number[] = [], readonly = false): Layer {
  return {
    id: nameOf(house, id),
    namespace,
    parents: parents.map((parent) => nameOf(house, parent)),
    readonly,
    labels: {},
  };
}

/** Seals a tree, and gives what it weighs. */
async function seal(house: House, of: Layer): Promise<Usage> {
  const id = Number(/[0-9]+$/.exec(of.id)?.[0]);
  house.sealed.add(id);
  return house.driver.seal(of, never, ...(house.driver.name === undefined ? [] : [nameOf(house, id)]));
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Registers what every SnapshotDriver must do. Needs root: it mounts. */
export function snapshotDriverSuite(name: string, make: () => Promise<SnapshotDriverUnderTest>): void {
  describe(`${name} keeps the contract of a snapshot driver`, () => {
    let house: House;
    beforeEach(async () => {
      house = Object.assign(await make(), { sealed: new Set<number>() });
    });
    afterEach(() => house[Symbol.asyncDispose]());

    layering(() => house);
    weighing(() => house);
    lasting(() => house);
  });
}

/** Mounts a layer while `use` runs. */
async function within(house: House, of: Layer, use: (root: string) => Promise<void>): Promise<void> {
  const target = await mkdtemp(path.join(os.tmpdir(), 'hako-layer-'));
  try {
    house.mount(await house.driver.mounts(of, never), target);
    try {
      await use(target);
    } finally {
      house.unmount(target);
    }
  } finally {
    await rm(target, { recursive: true, force: true });
  }
}

async function made(house: House, of: Layer): Promise<Layer> {
  await house.driver.create(of, never);
  return of;
}

/** Makes a sealed layer out of what `fill` does. */
async function sealed(house: House, of: Layer, fill: (root: string) => Promise<void>): Promise<Layer> {
  assert.deepEqual(await house.driver.create(of, never), { kind: 'empty' });
  await within(house, of, fill);
  await seal(house, of);
  return of;
}

function layering(house: () => House): void {
  test('a layer begins as what lies beneath it, and changes leave that alone', async () => {
    await sealed(house(), layer(house(), 1), async (root) => {
      await mkdir(path.join(root, 'etc'));
      await writeFile(path.join(root, 'etc/kept'), 'one');
      await writeFile(path.join(root, 'etc/changed'), 'one');
      await writeFile(path.join(root, 'etc/deleted'), 'one');
    });
    await sealed(house(), layer(house(), 2, [1]), async (root) => {
      assert.deepEqual((await readdir(path.join(root, 'etc'))).toSorted(), ['changed', 'deleted', 'kept']);
      await writeFile(path.join(root, 'etc/changed'), 'two');
      await rm(path.join(root, 'etc/deleted'));
      await writeFile(path.join(root, 'new'), 'two');
    });
    await sealed(house(), layer(house(), 3, [2, 1]), async (root) => {
      assert.deepEqual((await readdir(path.join(root, 'etc'))).toSorted(), ['changed', 'kept']);
      assert.equal(await readFile(path.join(root, 'etc/changed'), 'utf8'), 'two');
      assert.equal(await readFile(path.join(root, 'etc/kept'), 'utf8'), 'one');
    });
    const view = layer(house(), 4, [1], true);
    await house().driver.create(view, never);
    await within(house(), view, async (root) => {
      assert.equal(await readFile(path.join(root, 'etc/changed'), 'utf8'), 'one');
      assert.deepEqual(await readdir(root), ['etc']);
    });
  });

  test('a directory that was deleted and made again does not show its old names', async () => {
    await sealed(house(), layer(house(), 1), async (root) => {
      await mkdir(path.join(root, 'var/old'), { recursive: true });
    });
    await sealed(house(), layer(house(), 2, [1]), async (root) => {
      await rm(path.join(root, 'var'), { recursive: true });
      await mkdir(path.join(root, 'var'));
      await writeFile(path.join(root, 'var/new'), '');
    });
    const view = layer(house(), 3, [2, 1], true);
    await house().driver.create(view, never);
    await within(house(), view, async (root) => assert.deepEqual(await readdir(path.join(root, 'var')), ['new']));
  });

  test('a view cannot be written to, with no, one or two layers beneath it', async () => {
    await sealed(house(), layer(house(), 1), (root) => writeFile(path.join(root, 'file'), ''));
    await sealed(house(), layer(house(), 2, [1]), async () => {});
    for (const view of [layer(house(), 3, [], true), layer(house(), 4, [1], true), layer(house(), 5, [2, 1], true)]) {
      await house().driver.create(view, never);
      await within(house(), view, (root) => assert.rejects(writeFile(path.join(root, 'file'), 'x'), { code: 'EROFS' }));
    }
  });

  test('the root directory has its owner and mode from below', async () => {
    await sealed(house(), layer(house(), 1), async (root) => {
      assert.equal((await stat(root)).mode & 0o7777, 0o755);
      await chown(root, 12, 34);
      await chmod(root, 0o1777);
    });
    await sealed(house(), layer(house(), 2, [1]), async (root) => {
      const { uid, gid, mode } = await stat(root);
      assert.deepEqual([uid, gid, mode & 0o7777], [12, 34, 0o1777]);
    });
  });

  test('files can be renamed and linked over what comes from below', async () => {
    await sealed(house(), layer(house(), 1), async (root) => {
      await writeFile(path.join(root, 'a'), 'a');
      await writeFile(path.join(root, 'b'), 'b');
    });
    await sealed(house(), layer(house(), 2, [1]), async (root) => {
      await rename(path.join(root, 'a'), path.join(root, 'b'));
      await link(path.join(root, 'b'), path.join(root, 'c'));
      assert.deepEqual((await readdir(root)).toSorted(), ['b', 'c']);
      assert.equal(await readFile(path.join(root, 'c'), 'utf8'), 'a');
    });
  });

  test('a tree may stand on sixty others', async () => {
    const parents: number[] = [];
    for (let id = 1; id <= 60; id++) {
      await sealed(house(), layer(house(), id, [...parents]), (root) => writeFile(path.join(root, `layer-${id}`), ''));
      parents.unshift(id);
    }
    await house().driver.create(layer(house(), 61, parents), never);
    await within(house(), layer(house(), 61, parents), async (root) => assert.equal((await readdir(root)).length, 60));
  });
}

function weighing(house: () => House): void {
  test('usage() counts blocks, and a file with two names once', async () => {
    await house().driver.create(layer(house(), 1), never);
    const empty = await house().driver.usage(layer(house(), 1), never);
    await within(house(), layer(house(), 1), async (root) => {
      await writeFile(path.join(root, 'one'), Buffer.alloc(100_000, 1));
      await link(path.join(root, 'one'), path.join(root, 'two'));
    });
    const full = await house().driver.usage(layer(house(), 1), never);
    assert.equal(full.inodes - empty.inodes, 1);
    assert.ok(full.bytes - empty.bytes >= 100_000 && full.bytes - empty.bytes < 150_000, `${full.bytes - empty.bytes}`);
    assert.deepEqual(await seal(house(), layer(house(), 1)), full);
  });
}

function lasting(house: () => House): void {
  test('create() and remove() may be repeated, and a repeated create() keeps what is there', async () => {
    const one = layer(house(), 1);
    await house().driver.create(one, never);
    await within(house(), one, (root) => writeFile(path.join(root, 'kept'), ''));
    assert.deepEqual(await house().driver.create(one, never), { kind: 'empty' });
    await within(house(), one, async (root) => assert.deepEqual(await readdir(root), ['kept']));
    await seal(house(), one);
    const two = layer(house(), 2, [1]);
    await Promise.all([house().driver.create(two, never), house().driver.create(two, never)]);
    await house().driver.remove(two.id, never);
    await house().driver.remove(two.id, never);
    await house().driver.remove('777' as SnapshotId, never);
    assert.deepEqual(await collect(house().driver.list(never)), [nameOf(house(), 1)]);
  });

  test('seal() may be repeated by one who heard no answer', async () => {
    const one = layer(house(), 1);
    await house().driver.create(one, never);
    await within(house(), one, (root) => writeFile(path.join(root, 'file'), 'x'));
    const usage = await seal(house(), one);
    assert.deepEqual(await seal(house(), one), usage);
    await within(house(), await made(house(), layer(house(), 2, [1])), async (root) =>
      assert.deepEqual(await readdir(root), ['file']),
    );
  });

  test('list() shows what is on disk, after a restart too', async () => {
    assert.deepEqual(await collect(house().driver.list(never)), []);
    await sealed(house(), layer(house(), 1), (root) => writeFile(path.join(root, 'file'), 'x'));
    await made(house(), layer(house(), 2, [1]));
    await made(house(), layer(house(), 3, [1], true));
    await house().driver.sync?.(never);
    const expected = [1, 2, 3].map((id) => layer(house(), id).id);
    const again = await house().restart();
    assert.deepEqual((await collect(again.list(never))).toSorted(), expected.toSorted());
  });

  test('a dead signal makes nothing, and an id that is no number is refused', async () => {
    const reason = new Error('gone');
    await assert.rejects(house().driver.create(layer(house(), 1), AbortSignal.abort(reason)), reason);
    assert.deepEqual(await collect(house().driver.list(never)), []);
    const crooked = { ...layer(house(), 1), id: '../1' as SnapshotId };
    await assert.rejects(house().driver.create(crooked, never), { code: 'invalid-argument' });
    if (house().driver.name === undefined)
      await assert.rejects(house().driver.remove('..' as SnapshotId, never), { code: 'invalid-argument' });
  });
}
