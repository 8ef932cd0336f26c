import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { digestOf } from '#base/digest.ts';
import type { Blob } from '../content.ts';
import type { Differ } from '../differs.ts';
import type { Descriptor } from '../images.ts';
import type { Mount } from '../mounts.ts';
import { makeOpenTar, makeTar, type TarEntry } from './tar-writer.ts';

/** A differ to test. */
export interface DifferUnderTest extends AsyncDisposable {
  readonly differ: Differ;
  /** Reads a layer that the differ has stored by itself; absent for one that writes where it is told. */
  readonly stored?: (layer: Descriptor) => Promise<Uint8Array>;
}

const never = new AbortController().signal;
const bind = (source: string): Mount[] => [{ type: 'bind', source, options: ['rbind', 'rw'] }];

/** A blob in memory, as a store without files gives it. */
export function memoryBlob(data: Uint8Array): Blob {
  return {
    digest: digestOf(data),
    size: data.length,
    read: (offset, length) => Promise.resolve(data.subarray(offset, offset + length)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

export const layerOf = (data: Uint8Array): Descriptor => ({
  mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
  digest: digestOf(data),
  size: data.length,
});

interface House extends DifferUnderTest {
  readonly place: string;
  /** Unpacks into `place/root`. */
  apply(data: Uint8Array, signal?: AbortSignal): Promise<Descriptor>;
  at(name: string): string;
}

/**
 * Registers what every Differ must do. Needs root: it gives files to others and makes devices. A `remote` one reads a layer
 * from the content store, so that no damaged one can be given to it, and tells nobody when an aborted call has ended.
 */
export function differSuite(
  name: string,
  make: () => Promise<DifferUnderTest>,
  options: { readonly remote?: boolean } = {},
): void {
  describe(`${name} keeps the contract of a differ`, () => {
    let house: House;
    beforeEach(async () => {
      const under = await make();
      const place = await mkdtemp(path.join(os.tmpdir(), 'hako-differ-'));
      await mkdir(path.join(place, 'root'));
      house = {
        differ: under.differ,
        place,
        apply: (data, signal = never) =>
          under.differ.apply(layerOf(data), memoryBlob(data), bind(path.join(place, 'root')), signal),
        at: (file) => path.join(place, 'root', file),
        [Symbol.asyncDispose]: async () => {
          await under[Symbol.asyncDispose]();
          await rm(place, { recursive: true, force: true });
        },
      };
    });
    afterEach(() => house[Symbol.asyncDispose]());

    unpacking(() => house);
    replacing(() => house);
    deleting(() => house);
    confining(() => house);
    refusing(() => house, options.remote === true);
    stopping(() => house, options.remote === true);
  });
}

const file = (name: string, content = name, more: Partial<TarEntry> = {}): TarEntry => ({ name, content, ...more });
const directory = (name: string, more: Partial<TarEntry> = {}): TarEntry => ({ name, type: '5', ...more });

function unpacking(house: () => House): void {
  test('plain, gzip and zstd layers give the same tree and the same diffID', async () => {
    const tar = makeTar([
      directory('etc/'),
      file('etc/name', 'value'),
      file('big', randomBytes(3_000_000).toString('hex')),
    ]);
    for (const data of [
      tar,
      gzipSync(tar),
      zstdCompressSync(tar),
      Buffer.concat([gzipSync(tar.subarray(0, 1000)), gzipSync(tar.subarray(1000))]),
    ]) {
      const result = await house().apply(data);
      assert.deepEqual(result, {
        mediaType: 'application/vnd.oci.image.layer.v1.tar',
        digest: digestOf(tar),
        size: tar.length,
      });
      assert.equal(await readFile(house().at('etc/name'), 'utf8'), 'value');
      await rm(house().at('etc'), { recursive: true });
    }
  });

  test('an empty layer, one without its end blocks, and one with a tail are read whole', async () => {
    for (const tar of [
      Buffer.alloc(1024),
      Buffer.alloc(0),
      makeOpenTar([file('a')]),
      Buffer.concat([makeTar([file('a')]), Buffer.alloc(1_234_567, 9)]),
    ]) {
      assert.equal((await house().apply(gzipSync(tar))).digest, digestOf(tar));
    }
  });

  test("owners, modes and times are kept, a directory's too although it was filled afterwards", async () => {
    await house().apply(
      makeTar([
        directory('d/', { mode: 0o2750, uid: 7, gid: 8, mtime: 1000 }),
        file('d/tool', 'x', { mode: 0o6755, uid: 9, gid: 10, mtime: 2000 }),
        { name: 'd/link', type: '2', link: '/nowhere', uid: 11, gid: 12, mtime: 3000 },
        file('d/fine', 'x', { pax: { mtime: '4000.123456789', uid: '3000000', atime: '5000.5' } }),
        file('d/old', 'x', { pax: { mtime: '-5.5' } }),
      ]),
    );
    const seen = async (name: string): Promise<unknown[]> => {
      const { mode, uid, gid, mtimeNs } = await lstat(house().at(name), { bigint: true });
      return [(Number(mode) & 0o7777).toString(8), Number(uid), Number(gid), mtimeNs];
    };
    assert.deepEqual(await seen('d'), ['2750', 7, 8, 1_000_000_000_000n]);
    assert.deepEqual(await seen('d/tool'), ['6755', 9, 10, 2_000_000_000_000n]);
    assert.deepEqual((await seen('d/link')).slice(1), [11, 12, 3_000_000_000_000n]);
    assert.deepEqual(await seen('d/fine'), ['644', 3_000_000, 0, 4_000_123_456_789n]);
    assert.deepEqual(await seen('d/old'), ['644', 0, 0, 0n]);
    assert.equal((await lstat(house().at('d/fine'), { bigint: true })).atimeNs, 5_000_500_000_000n);
  });

  test('links, FIFOs and devices are what they were', async () => {
    await house().apply(
      makeTar([
        file('a/file', 'shared'),
        { name: 'b/hard', type: '1', link: 'a/file' },
        { name: 'soft', type: '2', link: 'a/file' },
        { name: 'hard-to-soft', type: '1', link: './soft' },
        { name: 'fifo', type: '6', mode: 0o622 },
        { name: 'null', type: '3', device: [1, 3], mode: 0o666 },
        { name: 'disk', type: '4', device: [259, 300], mode: 0o660 },
      ]),
    );
    assert.equal((await lstat(house().at('a/file'))).ino, (await lstat(house().at('b/hard'))).ino);
    assert.equal(await readlink(house().at('soft')), 'a/file');
    assert.equal(await readlink(house().at('hard-to-soft')), 'a/file');
    assert.ok((await lstat(house().at('fifo'))).isFIFO());
    const device = await lstat(house().at('null'));
    assert.ok(device.isCharacterDevice() && device.rdev === 0x103 && (device.mode & 0o777) === 0o666);
    assert.ok((await lstat(house().at('disk'))).isBlockDevice());
  });

  test('long names, in each of the ways tars have them', async () => {
    const long = `${'d'.repeat(200)}/${'e'.repeat(200)}/${'f'.repeat(100)}`;
    await house().apply(
      makeTar([
        file('short', 'pax', { pax: { path: `pax/${long}` } }),
        { name: '././@LongLink', type: 'L', content: `gnu/${long}\0` },
        file('cut', 'gnu'),
        { name: '././@LongLink', type: 'K', content: `gnu/${long}\0` },
        { name: 'soft', type: '2', link: 'cut' },
        file('n'.repeat(100), 'prefix', { change: (header) => header.write('p'.repeat(155), 345) }),
        { name: 'global', type: 'g', content: '19 comment=nothing\n' },
        directory('', { type: '\0', name: 'old-directory/' }),
      ]),
    );
    assert.equal(await readFile(house().at(`pax/${long}`), 'utf8'), 'pax');
    assert.equal(await readFile(house().at(`gnu/${long}`), 'utf8'), 'gnu');
    assert.equal(await readlink(house().at('soft')), `gnu/${long}`);
    assert.equal(await readFile(house().at(`${'p'.repeat(155)}/${'n'.repeat(100)}`), 'utf8'), 'prefix');
    assert.ok((await lstat(house().at('old-directory'))).isDirectory());
  });

  test('numbers in base 256 are read', async () => {
    await house().apply(
      makeTar([
        file('n', 'x', { change: (header) => Buffer.from([0x80, 0, 0, 0, 0, 0x12, 0x34, 0x56]).copy(header, 108) }),
      ]),
    );
    assert.equal((await lstat(house().at('n'))).uid, 0x123456);
  });

  test('the umask of this process changes nothing', async () => {
    const before = process.umask(0o077);
    try {
      await house().apply(makeTar([file('implied/file', 'x', { mode: 0o666 }), directory('d', { mode: 0o777 })]));
      const mode = async (name: string): Promise<number> => (await lstat(house().at(name))).mode & 0o777;
      assert.deepEqual([await mode('implied'), await mode('implied/file'), await mode('d')], [0o755, 0o666, 0o777]);
    } finally {
      process.umask(before);
    }
  });

  test('progress counts the compressed bytes to the last', async () => {
    const data = gzipSync(makeTar([file('random', randomBytes(2_000_000).toString('base64'))]));
    const seen: number[] = [];
    await house().differ.apply(layerOf(data), memoryBlob(data), bind(house().at('')), never, {
      progress: (bytes) => seen.push(bytes),
    });
    assert.equal(seen.at(-1), data.length);
    assert.deepEqual(
      seen,
      seen.toSorted((a, b) => a - b),
    );
  });
}

function replacing(house: () => House): void {
  test('a later entry takes the place of an earlier one, whatever both are', async () => {
    await house().apply(
      makeTar([
        file('a', 'old'),
        file('a', 'new'),
        directory('b'),
        file('b/inside'),
        file('b', 'file now'),
        file('c', 'file first'),
        directory('c'),
        file('c/inside'),
        { name: 'd', type: '2', link: 'a' },
        file('d', 'no link any more'),
        directory('e'),
        file('e/kept'),
        directory('e', { mode: 0o700 }),
        directory('f'),
        { name: 'f', type: '2', link: 'e' },
        file('g', 'itself'),
        { name: 'g', type: '1', link: 'g' },
        file('h', 'old'),
        { name: 'h', type: '1', link: 'a' },
      ]),
    );
    assert.equal(await readFile(house().at('a'), 'utf8'), 'new');
    assert.equal(await readFile(house().at('b'), 'utf8'), 'file now');
    assert.deepEqual(await readdir(house().at('c')), ['inside']);
    assert.equal(await readFile(house().at('d'), 'utf8'), 'no link any more');
    assert.deepEqual(await readdir(house().at('e')), ['kept']);
    assert.equal((await lstat(house().at('e'))).mode & 0o777, 0o700);
    assert.equal(await readlink(house().at('f')), 'e');
    assert.equal(await readFile(house().at('g'), 'utf8'), 'itself');
    assert.equal(await readFile(house().at('h'), 'utf8'), 'new');
  });

  test('an upper layer changes a lower one through its links to directories', async () => {
    await house().apply(
      makeTar([
        directory('usr/lib', { mtime: 1000 }),
        { name: 'lib', type: '2', link: 'usr/lib' },
        { name: 'abs', type: '2', link: '/usr' },
      ]),
    );
    await house().apply(makeTar([file('lib/one'), file('abs/lib/two'), file('abs/lib/../three')]));
    assert.deepEqual((await readdir(house().at('usr/lib'))).toSorted(), ['one', 'two']);
    assert.ok(existsSync(house().at('usr/three')), 'the dots are taken as written, so this is abs/three');
    assert.equal((await lstat(house().at('usr/lib'))).mtimeMs, 1_000_000);
  });
}

function deleting(house: () => House): void {
  const base = makeTar([
    directory('d'),
    file('d/a'),
    file('d/b'),
    directory('d/sub'),
    file('d/sub/x'),
    file('e'),
    directory('f'),
    file('f/y'),
  ]);

  test('a whiteout deletes what was below, and leaves no trace of itself', async () => {
    await house().apply(base);
    await house().apply(
      makeTar([file('d/.wh.a', ''), file('d/.wh.sub', ''), file('.wh.e', ''), file('.wh.never-was', '')]),
    );
    assert.deepEqual((await readdir(house().at(''))).toSorted(), ['d', 'f']);
    assert.deepEqual(await readdir(house().at('d')), ['b']);
  });

  test('whiteouts spare what their own layer brings, before or after them', async () => {
    await house().apply(base);
    await house().apply(
      makeTar([file('d/a', 'new'), file('d/.wh.a', ''), file('.wh.f', ''), directory('f'), file('f/z')]),
    );
    assert.equal(await readFile(house().at('d/a'), 'utf8'), 'new');
    assert.deepEqual(await readdir(house().at('f')), ['z']);
  });

  test('an opaque whiteout empties its directory of what was below', async () => {
    await house().apply(base);
    await house().apply(
      makeTar([
        directory('d'),
        file('d/new'),
        file('d/sub/new'),
        file('d/.wh..wh..opq', ''),
        file('f/.wh..wh..opq', ''),
      ]),
    );
    assert.deepEqual((await readdir(house().at('d'))).toSorted(), ['new', 'sub']);
    assert.deepEqual(await readdir(house().at('d/sub')), ['new']);
    assert.deepEqual(await readdir(house().at('f')), []);
  });
}

function confining(house: () => House): void {
  test('no path and no link leads outside the root', async () => {
    const outside = path.join(house().place, 'outside');
    await mkdir(outside);
    await writeFile(path.join(outside, 'secret'), 'untouched');
    const climb = '../'.repeat(20);
    await house().apply(
      makeTar([
        file('../../climbed'),
        file(`/${climb}absolute`),
        file('a/../../../b'),
        { name: 'out', type: '2', link: outside },
        file('out/through-absolute'),
        { name: 'up', type: '2', link: `${climb}${outside.slice(1)}` },
        file('up/through-relative'),
        { name: 'chain1', type: '2', link: 'chain2' },
        { name: 'chain2', type: '2', link: '../..' },
        file('chain1/chained'),
      ]),
    );
    assert.deepEqual(await readdir(outside), ['secret']);
    assert.deepEqual((await readdir(house().place)).toSorted(), ['outside', 'root']);
    for (const name of ['climbed', 'absolute', 'b', 'chained']) assert.ok(existsSync(house().at(name)), name);
    // What the links say is a place below the root, made when something is put there.
    assert.ok(existsSync(house().at(path.join(outside.slice(1), 'through-absolute'))));
    assert.ok(existsSync(house().at(path.join(outside.slice(1), 'through-relative'))));
  });

  test('neither hard links nor whiteouts nor devices reach through links that lie in wait', async () => {
    const outside = path.join(house().place, 'outside');
    await mkdir(outside);
    await writeFile(path.join(outside, 'secret'), 'untouched');
    await symlink(outside, house().at('trap'));
    await symlink(path.join(outside, 'secret'), house().at('file-trap'));
    await assert.rejects(house().apply(makeTar([{ name: 'stolen', type: '1', link: 'trap/secret' }])), {
      code: 'invalid-argument',
    });
    await house().apply(
      makeTar([
        file('trap/.wh.secret', ''),
        file('trap/.wh..wh..opq', ''),
        file('file-trap', 'replaced'),
        directory('trap', { mode: 0o777 }),
      ]),
    );
    assert.equal(await readFile(path.join(outside, 'secret'), 'utf8'), 'untouched');
    assert.ok((await lstat(house().at('trap'))).isDirectory());
    assert.ok((await lstat(house().at('file-trap'))).isFile());
  });

  test('links that go in circles are an error', async () => {
    await assert.rejects(
      house().apply(
        makeTar([{ name: 'x', type: '2', link: 'y' }, { name: 'y', type: '2', link: 'x' }, file('x/file')]),
      ),
      { code: 'invalid-argument', message: /too many symbolic links/ },
    );
  });
}

function refusing(house: () => House, remote: boolean): void {
  const refused = async (data: Uint8Array, code: string, message: RegExp): Promise<void> => {
    await assert.rejects(house().apply(data), (error: Error & { code?: string }) => {
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.ok(error.message.includes(digestOf(data)), `names the layer: ${error.message}`);
      return true;
    });
  };

  test('what is no archive, or only the beginning of one, is refused and names the layer', async () => {
    const tar = makeTar([file('a', 'x'.repeat(5000)), file('b')]);
    const gzip = gzipSync(tar);
    await refused(Buffer.alloc(10_000, 'garbage'), 'invalid-argument', /no tar archive/);
    await refused(gzip.subarray(0, gzip.length - 10), 'invalid-argument', /compressed data is malformed/);
    await refused(gzipSync(Buffer.alloc(5000, 'garbage')), 'invalid-argument', /no tar archive/);
    await refused(
      Buffer.concat([gzip.subarray(0, 20), Buffer.alloc(500, 0xff)]),
      'invalid-argument',
      /malformed|no tar archive/,
    );
    await refused(tar.subarray(0, 3000), 'invalid-argument', /ends in the middle of a file/);
    await refused(tar.subarray(0, 6000), 'invalid-argument', /ends in the middle of a (file|header)/);
    await refused(gzipSync(tar.subarray(0, 700)), 'invalid-argument', /ends in the middle of a file/);
    await refused(Buffer.from('BZh91AY&SY'), 'invalid-argument', /bzip2/);
    await refused(makeTar([file('a', 'x', { badSum: true })]), 'invalid-argument', /checksum/);
  });

  test('entries that make no sense are refused by name', async () => {
    const huge = 'x'.repeat(2_000_000);
    const cases: [TarEntry[], RegExp][] = [
      [[{ name: 'l', type: '1', link: 'absent' }], /hard link "l" points at "absent"/],
      [[directory('d'), { name: 'l', type: '1', link: 'd' }], /hard link "l"/],
      [[{ name: 'l', type: '2', link: '' }], /symbolic link "l"/],
      [[file('a'), file('a/b')], /"a", which is no directory/],
      [[file('x', 'x', { pax: { path: 'a\0b' } })], /zero byte/],
      [[file('x', 'x', { pax: { path: 'n'.repeat(300) } })], /longer than 255/],
      [[file('x', 'x', { pax: { path: 'dir/'.repeat(2000) } })], /longer than 4095/],
      [[file('x', 'x', { pax: { comment: huge } })], /larger than the limit/],
      [[{ name: 'L', type: 'L', content: huge }, file('x')], /larger than the limit/],
      [[file('x', 'x', { pax: { size: '12x' } })], /size of "x"/],
      [[file('x', 'x', { pax: { mtime: 'noon' } })], /mtime of "x"/],
      [[{ name: 'x', type: 'x', content: '99 path=short\n' }], /PAX header is malformed/],
      [[{ name: 'x', type: 'x', content: '11 path=ab\n' }], /describes a next one/],
      [[{ name: 'M', type: 'M' }], /type "M"/],
      [[file('.wh.', '')], /whiteout/],
      [[file('.wh...', '')], /whiteout/],
      [[file('/', 'x')], /the root is a file/],
      [[file('x', 'x', { change: (header) => header.fill(0xff, 108, 116) })], /owner/],
      [[file('x', 'x', { change: (header) => header.fill(0xff, 124, 136) })], /size of "x" is negative/],
      [[file('x', 'x', { size: 1_000_000 })], /ends in the middle/],
    ];
    for (const [entries, message] of cases) await refused(makeTar(entries), 'invalid-argument', message);
  });

  test(
    'a blob that is not what its descriptor says is data-loss, whether or not it unpacks',
    { skip: remote },
    async () => {
      const good = gzipSync(makeTar([file('a', randomBytes(50_000).toString('hex'))]));
      const damaged = Buffer.from(good);
      damaged[30_000] = damaged[30_000]! ^ 0xff;
      const other = gzipSync(makeTar([file('b')]));
      for (const data of [damaged, other, good.subarray(0, 20_000)]) {
        await assert.rejects(
          house().differ.apply(
            layerOf(good),
            { ...memoryBlob(data), digest: digestOf(good) },
            bind(house().at('')),
            never,
          ),
          { code: 'data-loss', message: /damaged/ },
        );
      }
      const lying = { ...layerOf(good), size: good.length + 1 };
      await assert.rejects(house().differ.apply(lying, memoryBlob(good), bind(house().at('')), never), {
        code: 'data-loss',
      });
    },
  );

  test('mounts that cannot be written to are refused', async () => {
    const data = makeTar([file('a')]);
    const apply = (mounts: Mount[]): Promise<Descriptor> =>
      house().differ.apply(layerOf(data), memoryBlob(data), mounts, never);
    await assert.rejects(apply([]), { code: 'invalid-argument' });
    await assert.rejects(apply([{ type: 'bind', source: house().at(''), options: ['ro', 'rbind'] }]), {
      code: 'failed-precondition',
    });
    await assert.rejects(apply([{ type: 'overlay', source: 'overlay', options: ['lowerdir=/a:/b'] }]), {
      code: 'failed-precondition',
    });
    await assert.rejects(apply(bind('/no/such/place')), /no\/such\/place/);
  });
}

function stopping(house: () => House, remote: boolean): void {
  test('an abort ends the work, and nothing is written after it', { skip: remote }, async () => {
    const data = makeTar(Array.from({ length: 20_000 }, (_, n) => file(`file-${n}`)));
    const reason = new Error('the caller left');
    const abort = new AbortController();
    const work = house().apply(data, abort.signal);
    while ((await readdir(house().at(''))).length === 0) await new Promise((resolve) => setImmediate(resolve));
    abort.abort(reason);
    await assert.rejects(work, reason);
    const left = (await readdir(house().at(''))).length;
    assert.ok(left < 20_000);
    await rm(house().at(''), { recursive: true });
    await mkdir(house().at(''));
    assert.deepEqual(await readdir(house().at('')), []);
    await assert.rejects(house().apply(data, AbortSignal.abort(reason)), reason);
    await house().apply(makeTar([file('after')]));
    assert.deepEqual(await readdir(house().at('')), ['after']);
  });

  test('more layers at once than there are threads all arrive', async () => {
    const layers = Array.from({ length: 12 }, (_, n) => gzipSync(makeTar([file('name', `${n}`.repeat(400_000))])));
    await Promise.all(
      layers.map(async (data, n) => {
        const root = path.join(house().place, `layer-${n}`);
        await mkdir(root);
        await house().differ.apply(layerOf(data), memoryBlob(data), bind(root), never);
        assert.equal(await readFile(path.join(root, 'name'), 'utf8'), `${n}`.repeat(400_000));
      }),
    );
  });
}
