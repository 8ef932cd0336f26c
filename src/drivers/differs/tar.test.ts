import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HakoError } from '#base/errors.ts';
import { makeTar } from '#core/suites/tar-writer.ts';
import { TarReader, type Entry } from './tar.ts';

function reader(data: Buffer, pieces = 1 << 20): TarReader {
  let at = 0;
  return new TarReader({
    take: (length) => {
      if (at >= data.length) return undefined;
      // As from the ring: never across a border of pieces.
      const end = Math.min(at + length, data.length, (Math.floor(at / pieces) + 1) * pieces);
      const piece = data.subarray(at, end);
      at = end;
      return piece;
    },
  });
}

function entries(data: Buffer): Entry[] {
  const tar = reader(data, 4096);
  const all: Entry[] = [];
  for (let entry = tar.next(); entry !== undefined; entry = tar.next()) all.push(entry);
  return all;
}

test('content that is not read is passed over, and what is read is the content', () => {
  const data = makeTar([
    { name: 'a', content: 'a'.repeat(10_000) },
    { name: 'b', content: 'bee' },
    { name: 'c', type: '5' },
  ]);
  assert.deepEqual(
    entries(data).map(({ name, type, size }) => [name, type, size]),
    [
      ['a', 'file', 10_000],
      ['b', 'file', 3],
      ['c', 'directory', 0],
    ],
  );
  const tar = reader(data, 512);
  tar.next();
  let length = 0;
  for (let piece = tar.content(); piece !== undefined; piece = tar.content()) length += piece.length;
  assert.equal(length, 10_000);
});

test('PAX records override the header, keep every byte of a name and carry attributes', () => {
  const name = Buffer.from('näme\u{1f980}').toString('latin1');
  const [entry] = entries(
    makeTar([
      {
        name: 'short',
        pax: {
          path: 'näme\u{1f980}',
          uid: '4000000',
          gid: '5',
          mtime: '1.5',
          'SCHILY.xattr.user.a=b': '',
          'SCHILY.xattr.user.x': 'line\nline',
        },
      },
    ]),
  );
  assert.equal(entry?.name, name);
  assert.deepEqual([entry?.uid, entry?.gid, entry?.mtime], [4_000_000, 5, { seconds: 1, nanoseconds: 500_000_000 }]);
  assert.equal(entry?.xattrs.get('user.x'), 'line\nline');
});

test('a hard link that tells a size has no content all the same', () => {
  const data = makeTar([
    { name: 'a', content: 'x' },
    { name: 'b', type: '1', link: 'a', size: 1 },
    { name: 'c', content: 'y' },
  ]);
  assert.deepEqual(
    entries(data).map(({ name }) => name),
    ['a', 'b', 'c'],
  );
});

test('whatever bytes come, reading ends, and ends with an entry or invalid-argument', () => {
  const good = makeTar([
    { name: 'file', content: 'x'.repeat(700) },
    {
      name: 'p',
      pax: { path: 'long', size: '3', 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0' },
      content: '1\n0\n3\n'.padEnd(512, '\0') + 'abc',
      size: 515,
    },
    { name: 'L', type: 'L', content: 'name\0' },
    { name: 'f' },
    { name: 'd', type: '5' },
  ]);
  // A fixed sequence, so that a failure comes back.
  let seed = 12_345;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  const sum = (header: Buffer): void => {
    header.fill(' ', 148, 156);
    header.write(
      `${header
        .reduce((total, byte) => total + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
      'latin1',
    );
  };
  for (let round = 0; round < 3000; round++) {
    const data = Buffer.from(good);
    for (let n = 0; n <= random(4); n++) data[random(data.length)] = random(256);
    // Half of them with right checksums, to come further.
    if (round % 2 === 0)
      for (let at = 0; at < data.length - 1024; at += 512)
        if (data.toString('latin1', at + 257, at + 262) === 'ustar') sum(data.subarray(at, at + 512));
    try {
      entries(data.subarray(0, data.length - random(3) * random(600)));
    } catch (error) {
      assert.ok(error instanceof HakoError && error.code === 'invalid-argument', `${round}: ${String(error)}`);
    }
  }
});
