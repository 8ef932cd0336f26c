import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { digestOf } from '#base/digest.ts';
import type { NewArchiveEntry } from '#core/archives.ts';
import { tar } from '../../../test/support/images.ts';
import { TarArchives } from './archives.ts';

const archives = new TarArchives();
after(() => archives.close());
const never = new AbortController().signal;

async function* pieces(bytes: Uint8Array, size = 700): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function joined(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of source) all.push(piece);
  return Buffer.concat(all);
}

/** `name: content` or `name -> target` of every entry. */
async function listed(bytes: Uint8Array, compressed = true): Promise<string[]> {
  const lines: string[] = [];
  await using reader = archives.read(pieces(bytes), { compressed }, never);
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
    if (entry.kind === 'file') lines.push(`${entry.name}: ${(await joined(reader.content())).toString().slice(0, 10)}`);
    else lines.push(`${entry.kind} ${entry.name}${entry.target === '' ? '' : ` -> ${entry.target}`}`);
  }
  return lines;
}

const long = `${'deep/'.repeat(40)}ünder`;
const sample = tar([
  { name: 'blobs/', type: 'dir' },
  { name: 'index.json', data: Buffer.from('{}') },
  { name: 'layer.tar', type: 'symlink', link: '../other' },
  { name: long, data: Buffer.from('x'.repeat(3000)) },
  { name: 'pipe', type: 'fifo' },
]);
const told = [
  'directory blobs/',
  'index.json: {}',
  'symlink layer.tar -> ../other',
  `${long}: xxxxxxxxxx`,
  'other pipe',
];

test('an archive is read plain, gzipped and with zstd, also in several members', async () => {
  assert.deepEqual(await listed(sample), told);
  assert.deepEqual(await listed(gzipSync(sample)), told);
  assert.deepEqual(await listed(zstdCompressSync(sample)), told);
  const [first, second] = [sample.subarray(0, 1000), sample.subarray(1000)];
  assert.deepEqual(await listed(Buffer.concat([gzipSync(first), gzipSync(second)])), told);
  assert.deepEqual(await listed(Buffer.concat([zstdCompressSync(first), zstdCompressSync(second)])), told);
});

test('content that is not read is passed over', async () => {
  await using reader = archives.read(pieces(sample), { compressed: false }, never);
  const names: string[] = [];
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) names.push(entry.name);
  assert.deepEqual(names, ['blobs/', 'index.json', 'layer.tar', long, 'pipe']);
});

test('what is damaged or cut short fails in the words of containerd', async () => {
  await assert.rejects(listed(sample.subarray(0, 1600)), { code: 'unknown', message: 'unexpected EOF' });
  await assert.rejects(listed(gzipSync(sample).subarray(0, 60)), { code: 'unknown', message: 'unexpected EOF' });
  await assert.rejects(listed(Buffer.alloc(5000, 7)), { message: 'archive/tar: invalid tar header' });
  const spoiled = Buffer.from(sample);
  spoiled[520] = 0x41;
  await assert.rejects(listed(spoiled), { message: 'archive/tar: invalid tar header' });
});

test('leaving early ends the source', async () => {
  let ended = false;
  const source = async function* (): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield gzipSync(sample);
    } finally {
      ended = true;
    }
  };
  {
    await using reader = archives.read(source(), { compressed: true }, never);
    assert.equal((await reader.next())?.name, 'blobs/');
  }
  assert.equal(ended, true);
});

test('what is written is read again, and sizes must be kept', async () => {
  const file = (name: string, data: string, size = data.length): NewArchiveEntry => ({
    kind: 'file',
    name,
    mode: 0o444,
    size,
    content: () => pieces(Buffer.from(data)),
  });
  const name = `blobs/sha512/${'a'.repeat(128)}`;
  const bytes = await joined(
    archives.write([{ kind: 'directory', name: 'blobs/', mode: 0o755, size: 0 }, file(name, 'hello')], never),
  );
  assert.deepEqual(await listed(bytes, false), ['directory blobs/', `${name}: hello`]);
  await assert.rejects(joined(archives.write([file('short', 'abc', 4)], never)), /unexpected copy size for short/);
  await assert.rejects(joined(archives.write([file('long', 'abcde', 4)], never)), /unexpected copy size for long/);
});

test('bytes of another digest are noticed at their end', async () => {
  const data = Buffer.from('x'.repeat(5000));
  assert.deepEqual(await joined(archives.verify(pieces(data), digestOf(data), never)), data);
  const other = digestOf('other');
  await assert.rejects(joined(archives.verify(pieces(data), other, never)), {
    code: 'unknown',
    message: `unexpected digest ${digestOf(data)} copied`,
  });
});
