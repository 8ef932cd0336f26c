import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { link, mkdir, mkdtemp, rm, rmdir, symlink, truncate, unlink, utimes, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { digestOf } from '#base/digest.ts';
import type { Differ, DiffOptions, LayerSink } from '../differs.ts';
import type { Descriptor } from '../images.ts';
import type { Mount } from '../mounts.ts';
import { layerOf, memoryBlob, type DifferUnderTest } from './differ.ts';
import { changeTree, describeTree, randomNumbers } from './random-tree.ts';

const never = new AbortController().signal;
const tar = 'application/vnd.oci.image.layer.v1.tar';
const bind = (source: string): Mount[] => [{ type: 'bind', source, options: ['rbind', 'ro'] }];
const writable = (source: string): Mount[] => [{ type: 'bind', source, options: ['rbind', 'rw'] }];

export interface MadeBytes {
  readonly data: Buffer;
  readonly uncompressed: string | undefined;
}

/** Makes a layer into memory. `stored` reads what a differ has stored by itself. */
export async function makeLayer(
  differ: Differ,
  left: readonly Mount[],
  right: readonly Mount[],
  options: Partial<DiffOptions> = {},
  stored?: (layer: Descriptor) => Promise<Uint8Array>,
): Promise<MadeBytes> {
  let parts: Uint8Array[] = [];
  const sink: LayerSink = {
    write: async (data) => void parts.push(data),
    restart: async () => {
      parts = [];
    },
  };
  const made = await differ.diff(left, right, sink, never, { mediaType: tar, ...options });
  if (made.kind === 'written') return { data: Buffer.concat(parts), uncompressed: made.uncompressed };
  assert.ok(stored !== undefined, 'a differ that stores must say how to read');
  return { data: Buffer.from(await stored(made.layer)), uncompressed: undefined };
}

/** What an archive holds, as GNU tar lists it. */
export const listTar = (data: Uint8Array): string[] =>
  execFileSync('tar', ['-tf', '-', '--quoting-style=literal'], { input: data, encoding: 'utf8' })
    .split('\n')
    .filter((line) => line !== '');

interface House extends DifferUnderTest {
  readonly place: string;
  readonly left: string;
  readonly right: string;
  make(options?: Partial<DiffOptions>): Promise<MadeBytes>;
}

/** Registers what every Differ must do when it makes layers. Needs root. */
export function differDiffSuite(name: string, open: () => Promise<DifferUnderTest>): void {
  describe(`${name} makes layers as the contract of a differ says`, () => {
    let house: House;
    beforeEach(async () => {
      const under = await open();
      const place = await mkdtemp(path.join(os.tmpdir(), 'hako-diff-'));
      const [left, right] = [path.join(place, 'left'), path.join(place, 'right')];
      await mkdir(left);
      await mkdir(right);
      house = {
        ...under,
        place,
        left,
        right,
        make: (options) => makeLayer(under.differ, bind(left), bind(right), options, under.stored),
        [Symbol.asyncDispose]: async () => {
          await under[Symbol.asyncDispose]();
          await rm(place, { recursive: true, force: true });
        },
      };
    });
    afterEach(() => house[Symbol.asyncDispose]());

    content(() => house);
    packing(() => house);
    ending(() => house);
  });
}

function content(house: () => House): void {
  test('what was added, changed and deleted is in it, in order, with the directories on the way', async () => {
    const { left, right } = house();
    for (const root of [left, right]) {
      await mkdir(path.join(root, 'same/deep'), { recursive: true });
      await mkdir(path.join(root, 'gone/inside'), { recursive: true });
      for (const file of ['same/one', 'same/deep/two', 'same/deep/changed', 'gone/file'])
        await writeFile(path.join(root, file), file);
      for (const file of ['same/one', 'same/deep/two']) await utimes(path.join(root, file), 1000, 1000);
    }
    await writeFile(path.join(right, 'same/deep/changed'), 'otherwise');
    await rm(path.join(right, 'gone'), { recursive: true });
    await unlink(path.join(right, 'same/one'));
    await symlink('x', path.join(right, 'a-link'));
    await writeFile(path.join(right, 'same.file'), '');
    const { data, uncompressed } = await house().make();
    assert.deepEqual(listTar(data), [
      'a-link',
      '.wh.gone',
      'same/',
      'same/deep/',
      'same/deep/changed',
      'same/.wh.one',
      'same.file',
    ]);
    if (uncompressed !== undefined) assert.equal(uncompressed, digestOf(data));
  });

  test('equal trees differ in nothing, and no mounts at all are an empty tree', async () => {
    const { left, differ, stored } = house();
    await writeFile(path.join(left, 'file'), 'x');
    const none = await makeLayer(differ, bind(left), bind(left), {}, stored);
    assert.deepEqual(listTar(none.data), []);
    assert.ok(none.data.equals(Buffer.alloc(1024)));
    assert.deepEqual(listTar((await makeLayer(differ, [], bind(left), {}, stored)).data), ['file']);
  });

  test('a new name of an old file brings the old names along as links', async () => {
    const { left, right } = house();
    for (const root of [left, right]) {
      await writeFile(path.join(root, 'b'), 'shared');
      await utimes(path.join(root, 'b'), 1000, 1000);
      await link(path.join(root, 'b'), path.join(root, 'a'));
    }
    assert.deepEqual(listTar((await house().make()).data), []);
    await link(path.join(right, 'a'), path.join(right, 'c'));
    const listed = listTar((await house().make()).data);
    assert.deepEqual(listed, ['c', 'a', 'b']);
  });

  test(
    'random trees: the layer of a difference, unpacked upon the one, gives the other',
    { timeout: 120_000 },
    async () => {
      const { differ, place, stored } = house();
      for (let seed = 1; seed <= 25; seed++) {
        const random = randomNumbers(seed);
        const at = (name: string): string => path.join(place, `${seed}-${name}`);
        await mkdir(at('old'));
        changeTree(at('old'), random, 60);
        for (const copy of ['new', 'copy']) execFileSync('cp', ['-a', at('old'), at(copy)]);
        changeTree(at('new'), random, 40);
        const { data } = await makeLayer(differ, bind(at('old')), bind(at('new')), {}, stored);
        await differ.apply(layerOf(data), memoryBlob(data), writable(at('copy')), never);
        assert.deepEqual(describeTree(at('copy')), describeTree(at('new')), `seed ${seed}`);
        const { data: whole } = await makeLayer(differ, [], bind(at('new')), {}, stored);
        await mkdir(at('fresh'));
        await differ.apply(layerOf(whole), memoryBlob(whole), writable(at('fresh')), never);
        assert.deepEqual(describeTree(at('fresh')), describeTree(at('new')), `seed ${seed}, whole`);
      }
    },
  );
}

function packing(house: () => House): void {
  test('each media type has its packing, OCI words and others are unimplemented', async () => {
    await writeFile(path.join(house().right, 'file'), 'x'.repeat(3_000_000));
    await truncate(path.join(house().right, 'file'), 5_000_000);
    await utimes(path.join(house().right, 'file'), 1000, 1000);
    const plain = (await house().make()).data;
    assert.equal(plain.length, 512 + 5_000_192 + 1024);
    for (const [mediaType, unpack] of [
      [`${tar}+gzip`, gunzipSync],
      [`${tar}+zstd`, zstdDecompressSync],
    ] as const) {
      const { data, uncompressed } = await house().make({ mediaType });
      assert.ok(unpack(data).equals(plain), mediaType);
      assert.ok(data.length < plain.length / 10);
      if (uncompressed !== undefined) assert.equal(uncompressed, digestOf(plain));
    }
    await assert.rejects(house().make({ mediaType: 'application/json' }), { code: 'unimplemented' });
  });

  test('no time is later than the one given, and the same trees give the same bytes', async () => {
    const { right } = house();
    const make = (options: Partial<DiffOptions>): Promise<MadeBytes> => house().make(options);
    for (const name of ['z', 'a', 'm']) await writeFile(path.join(right, name), name);
    await utimes(path.join(right, 'a'), 1000, 1000);
    const options = { sourceDateEpoch: { seconds: 2000, nanoseconds: 0 } };
    const one = await make(options);
    await rmdir(house().left);
    await mkdir(house().left);
    for (const name of ['m', 'z']) await utimes(path.join(right, name), 3000, 4000);
    assert.ok((await make(options)).data.equals(one.data));
    const times = execFileSync('tar', ['-tvf', '-', '--full-time', '--utc'], { input: one.data, encoding: 'utf8' });
    assert.deepEqual(
      times.match(/1970-01-01 \d\d:\d\d:\d\d/g)?.map((time) => time.slice(11)),
      ['00:16:40', '00:33:20', '00:33:20'],
    );
  });
}

function ending(house: () => House): void {
  test('an abort ends it with its reason, and what the sink says is told', async () => {
    const { right, differ } = house();
    await writeFile(path.join(right, 'file'), Buffer.alloc(50_000_000, 'x'));
    const reason = new Error('the caller left');
    const abort = new AbortController();
    const sink = (write: () => Promise<void>): LayerSink => ({ write, restart: async () => {} });
    const go = (write: () => Promise<void>): Promise<unknown> =>
      differ.diff([], bind(right), sink(write), abort.signal, { mediaType: tar });
    if (house().stored === undefined)
      await assert.rejects(
        go(() => Promise.reject(new Error('no room'))),
        /no room/,
      );
    const work = go(async () => abort.abort(reason));
    if (house().stored !== undefined) abort.abort(reason);
    await assert.rejects(work, reason);
  });

  test('a tree that is not there is an error that names it', async () => {
    const missing = path.join(house().place, 'missing');
    await assert.rejects(makeLayer(house().differ, [], bind(missing), {}, house().stored), /missing/);
  });
}
