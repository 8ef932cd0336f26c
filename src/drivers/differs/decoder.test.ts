import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { compressionOf, Decoder } from './decoder.ts';

/** Inflates with rooms and inputs of the given sizes, into shared memory as the ring has it. */
function inflate(compression: 'gzip' | 'zstd', data: Uint8Array, inputSize: number, roomSize: number): Buffer {
  const decoder = new Decoder(compression);
  const room = Buffer.from(new SharedArrayBuffer(roomSize));
  const out: Buffer[] = [];
  try {
    for (let at = 0; at < data.length;) {
      const { read, wrote } = decoder.step(data.subarray(at, at + inputSize), room);
      out.push(Buffer.from(room.subarray(0, wrote)));
      at += read;
      if (read === 0 && wrote === 0) break;
    }
    for (;;) {
      const { wrote } = decoder.finish(room);
      out.push(Buffer.from(room.subarray(0, wrote)));
      if (wrote < room.length) return Buffer.concat(out);
    }
  } finally {
    decoder.close();
  }
}

const text = Buffer.from(randomBytes(100_000).toString('hex').repeat(3));

test('what node:zlib compressed is inflated, whatever the sizes of input and output', () => {
  for (const [inputSize, roomSize] of [
    [1 << 20, 1 << 20],
    [1000, 1 << 20],
    [1 << 20, 1000],
    [777, 333],
  ] as const) {
    assert.ok(inflate('gzip', gzipSync(text), inputSize, roomSize).equals(text), `gzip ${inputSize} ${roomSize}`);
    assert.ok(
      inflate('zstd', zstdCompressSync(text), inputSize, roomSize).equals(text),
      `zstd ${inputSize} ${roomSize}`,
    );
  }
});

test('several members or frames are one stream, also when input ends between them', () => {
  const parts = [text.subarray(0, 50_000), text.subarray(50_000)];
  const gzips = parts.map((part) => gzipSync(part));
  const zstds = parts.map((part) => zstdCompressSync(part));
  for (const size of [gzips[0]!.length, 1 << 20])
    assert.ok(inflate('gzip', Buffer.concat(gzips), size, 1 << 20).equals(text));
  for (const size of [zstds[0]!.length, 1 << 20])
    assert.ok(inflate('zstd', Buffer.concat(zstds), size, 1 << 20).equals(text));
});

test('what ends early or is damaged is an error', () => {
  for (const [kind, data] of [
    ['gzip', gzipSync(text)],
    ['zstd', zstdCompressSync(text)],
  ] as const) {
    assert.throws(
      () => inflate(kind, data.subarray(0, data.length - 20), 1 << 20, 1 << 20),
      { code: 'invalid-argument' },
      kind,
    );
  }
  // zstd has a checksum only where its maker wanted one: there the digest of the layer is what tells.
  const damaged = gzipSync(text);
  damaged.fill(0x55, 5000, 5100);
  assert.throws(() => inflate('gzip', damaged, 1 << 20, 1 << 20), { code: 'invalid-argument' });
});

test('compressions are told by their first bytes', () => {
  assert.equal(compressionOf(gzipSync('x')), 'gzip');
  assert.equal(compressionOf(zstdCompressSync('x')), 'zstd');
  assert.equal(compressionOf(Buffer.from([0x5a, 0x2a, 0x4d, 0x18])), 'zstd');
  assert.equal(compressionOf(Buffer.from('usr/bin')), 'none');
  assert.equal(compressionOf(Buffer.alloc(0)), 'none');
  assert.throws(() => compressionOf(Buffer.from('BZh9')), /bzip2/);
  assert.throws(() => compressionOf(Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0])), /xz/);
});
