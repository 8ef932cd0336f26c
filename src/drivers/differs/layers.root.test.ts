import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, rename, rm, unlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Mount } from '#core/mounts.ts';
import { layerOf, memoryBlob } from '#core/suites/differ.ts';
import { listTar, makeLayer } from '#core/suites/differ-diff.ts';
import { makeTar } from '#core/suites/tar-writer.ts';
import { changeTree, describeTree, randomNumbers } from '#core/suites/random-tree.ts';
import { AT_FDCWD, bytesOf, mknodAt } from '#sys/at.ts';
import { mountAt, unmountAll } from '#sys/mount.ts';
import { S_IFCHR } from '#sys/stat.ts';
import { getXattr, setXattr } from '#sys/xattr.ts';
import { TarDiffer } from './differ.ts';

const never = new AbortController().signal;
const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
let place: string;
let differ: TarDiffer;

before(async () => {
  place = await mkdtemp(path.join(os.tmpdir(), 'hako-layers-'));
  differ = await TarDiffer.start(path.join(place, 'state'));
});
after(async () => {
  differ[Symbol.dispose]();
  await rm(place, { recursive: true, force: true });
});

interface Overlay extends AsyncDisposable {
  readonly lower: string;
  readonly upper: string;
  readonly merged: string;
  readonly left: Mount[];
  readonly right: Mount[];
}

/** An overlay that is mounted, over a lower directory that `fill` fills. */
async function overlay(
  name: string,
  fill: (lower: string) => void | Promise<void>,
  more: string[] = [],
): Promise<Overlay> {
  const at = (part: string): string => path.join(place, name, part);
  for (const part of ['lower', 'upper', 'work', 'merged']) await mkdir(at(part), { recursive: true });
  await fill(at('lower'));
  const options = [`workdir=${at('work')}`, `upperdir=${at('upper')}`, `lowerdir=${at('lower')}`, ...more];
  const right = [{ type: 'overlay', source: 'overlay', options }];
  mountAt(right[0]!, at('merged'));
  return {
    lower: at('lower'),
    upper: at('upper'),
    merged: at('merged'),
    left: [{ type: 'bind', source: at('lower'), options: ['rbind', 'ro'] }],
    right,
    [Symbol.asyncDispose]: async () => unmountAll(at('merged')),
  };
}

test('random changes in an overlay: its layer upon the lower directory gives what it shows', async () => {
  for (let seed = 100; seed < 120; seed++) {
    const random = randomNumbers(seed);
    await using it = await overlay(`random-${seed}`, (lower) => changeTree(lower, random, 60));
    changeTree(it.merged, random, 60);
    const { data } = await makeLayer(differ, it.left, it.right);
    const copy = path.join(place, `copy-${seed}`);
    execFileSync('cp', ['-a', it.lower, copy]);
    await differ.apply(layerOf(data), memoryBlob(data), [{ type: 'bind', source: copy, options: ['rw'] }], never);
    assert.deepEqual(describeTree(copy, false), describeTree(it.merged, false), `seed ${seed}`);
  }
});

test('what was copied up and is as before is in no layer, nor are the marks of overlayfs', async () => {
  await using it = await overlay('marks', async (lower) => {
    await mkdir(path.join(lower, 'kept'));
    await writeFile(path.join(lower, 'kept/old'), 'x');
    await mkdir(path.join(lower, 'again'));
    await writeFile(path.join(lower, 'again/old'), 'x');
  });
  execFileSync('chmod', ['600', path.join(it.merged, 'kept/old')]);
  execFileSync('chmod', ['644', path.join(it.merged, 'kept/old')]);
  assert.ok(existsSync(path.join(it.upper, 'kept/old')));
  await rm(path.join(it.merged, 'again'), { recursive: true });
  await mkdir(path.join(it.merged, 'again'));
  const { data } = await makeLayer(differ, it.left, it.right);
  assert.deepEqual(listTar(data), ['again/', 'again/.wh.old']);
  assert.ok(!data.includes('overlay'));
});

test('capabilities and attributes of the user are in the layer, others are not', async () => {
  const tree = path.join(place, 'attributes');
  await mkdir(tree);
  await writeFile(path.join(tree, 'tool'), 'x');
  const tool = bytesOf(path.join(tree, 'tool'));
  assert.ok(setXattr(tool, 'security.capability', capability) >= 0);
  assert.ok(setXattr(tool, 'trusted.secret', Buffer.from('no')) >= 0);
  const user = setXattr(tool, 'user.note', Buffer.from('\n=\0yes', 'latin1')) >= 0;
  const { data } = await makeLayer(differ, [], [{ type: 'bind', source: tree, options: ['ro'] }]);
  assert.ok(!data.includes('trusted'));
  const copy = path.join(place, 'attributes-copy');
  await mkdir(copy);
  await differ.apply(layerOf(data), memoryBlob(data), [{ type: 'bind', source: copy, options: ['rw'] }], never);
  const copied = bytesOf(path.join(copy, 'tool'));
  assert.deepEqual(getXattr(copied, 'security.capability'), capability);
  if (user) assert.equal(getXattr(copied, 'user.note')?.toString('latin1'), '\n=\0yes');
});

test('a directory that overlayfs renamed is read through a mount, which is gone afterwards', async () => {
  const fill = async (lower: string): Promise<void> => {
    await mkdir(path.join(lower, 'before'));
    await writeFile(path.join(lower, 'before/file'), 'x');
  };
  await using it = await overlay('redirect', fill, ['redirect_dir=on']);
  await rename(path.join(it.merged, 'before'), path.join(it.merged, 'after'));
  assert.ok(getXattr(bytesOf(path.join(it.upper, 'after')), 'trusted.overlay.redirect') !== undefined);
  unmountAll(it.merged);
  const { data } = await makeLayer(differ, it.left, it.right);
  assert.deepEqual(listTar(data), ['after/', 'after/file', '.wh.before']);
  assert.deepEqual(await readdir(path.join(place, 'state')), []);
});

test('trees that only a mount shows are mounted for reading, and compared whole', async () => {
  const [one, two, three] = ['one', 'two', 'three'].map((name) => path.join(place, `stack-${name}`)) as [
    string,
    string,
    string,
  ];
  for (const directory of [one, two, three]) await mkdir(directory);
  await writeFile(path.join(one, 'one'), '1');
  await writeFile(path.join(two, 'two'), '2');
  mknodAt(AT_FDCWD, bytesOf(path.join(three, 'one')), S_IFCHR, 0, 0);
  const right = [{ type: 'overlay', source: 'overlay', options: [`lowerdir=${three}:${two}:${one}`] }];
  const { data } = await makeLayer(differ, [{ type: 'bind', source: one, options: ['ro'] }], right);
  assert.deepEqual(listTar(data), ['.wh.one', 'two']);
  const below = [{ type: 'overlay', source: 'overlay', options: [`lowerdir=${two}:${one}`] }];
  assert.deepEqual(listTar((await makeLayer(differ, below, right)).data), ['.wh.one']);
  assert.deepEqual(await readdir(path.join(place, 'state')), []);
});

test('names that are longer than a header, and times before 1970, come back as they were', async () => {
  const tree = path.join(place, 'long');
  const name = 'x'.repeat(200);
  await mkdir(path.join(tree, name, name, name), { recursive: true });
  await writeFile(path.join(tree, name, name, name, `${name}ü`), 'deep');
  await writeFile(path.join(tree, name, name, 'deleted'), '');
  const later = path.join(place, 'long-later');
  await cp(tree, later, { recursive: true });
  await unlink(path.join(later, name, name, 'deleted'));
  execFileSync('touch', ['-d', '1950-01-01', path.join(later, name, 'ancient')]);
  const mounts = (source: string): Mount[] => [{ type: 'bind', source, options: ['rw'] }];
  const { data } = await makeLayer(differ, mounts(tree), mounts(later));
  await differ.apply(layerOf(data), memoryBlob(data), mounts(tree), never);
  assert.ok(existsSync(path.join(tree, name, name, name, `${name}ü`)));
  assert.ok(!existsSync(path.join(tree, name, name, 'deleted')));
  const listed = execFileSync('tar', ['-tvf', '-', '--full-time', '--utc'], { input: data, encoding: 'utf8' });
  assert.match(listed, /1950-01-01 .*ancient/);
});

test('layers that are unpacked apart, before it is known what they will lie upon, show the same tree when stacked', async () => {
  const layers = [
    makeTar([
      { name: 'kept/', type: '5' },
      { name: 'kept/one', content: '1' },
      { name: 'kept/two', content: '2' },
      { name: 'hidden/', type: '5' },
      { name: 'hidden/old', content: 'x' },
      { name: 'again/', type: '5' },
      { name: 'again/old', content: 'x' },
    ]),
    makeTar([
      { name: 'kept/', type: '5' },
      { name: 'kept/.wh.one', content: '' },
      { name: 'hidden/', type: '5' },
      { name: 'hidden/.wh..wh..opq', content: '' },
      { name: 'hidden/new', content: 'y' },
      { name: '.wh.again', content: '' },
      { name: 'again/', type: '5' },
      { name: 'again/new', content: 'z' },
    ]),
  ];
  const at = (name: string): string => path.join(place, 'apart', name);
  for (const name of ['0', '1', 'flat', 'merged']) await mkdir(at(name), { recursive: true });
  for (const [n, data] of layers.entries()) {
    const apart = [{ type: 'overlay', source: 'overlay', options: ['rw', `upperdir=${at(String(n))}`] }];
    await differ.apply(layerOf(data), memoryBlob(data), apart, never);
    const flat = [{ type: 'bind', source: at('flat'), options: ['rw'] }];
    await differ.apply(layerOf(data), memoryBlob(data), flat, never);
  }
  mountAt({ type: 'overlay', source: 'overlay', options: [`lowerdir=${at('1')}:${at('0')}`] }, at('merged'));
  try {
    assert.deepEqual(describeTree(at('merged')), describeTree(at('flat')));
    assert.deepEqual(await readdir(at('merged/hidden')), ['new']);
    assert.deepEqual(await readdir(at('merged/again')), ['new']);
  } finally {
    unmountAll(at('merged'));
  }
});
