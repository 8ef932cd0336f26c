import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { Encoder } from './encoder.ts';

function pack(compression: 'gzip' | 'zstd', data: Uint8Array, size: number): Buffer {
  const parts: Buffer[] = [];
  const encoder = new Encoder(compression, (bytes) => parts.push(Buffer.from(bytes)));
  try {
    for (let at = 0; at < data.length; at += size) encoder.write(data.subarray(at, at + size));
    encoder.finish();
  } finally {
    encoder.close();
  }
  return Buffer.concat(parts);
}

test('what is packed is inflated by node:zlib, whatever the sizes of the pieces', () => {
  for (const data of [Buffer.alloc(0), randomBytes(5_000_000), Buffer.alloc(9_000_000, 'text'), randomBytes(1 << 17)]) {
    for (const size of [1 << 20, 4096, data.length + 1]) {
      assert.ok(gunzipSync(pack('gzip', data, size)).equals(data), `gzip ${data.length} ${size}`);
      assert.ok(zstdDecompressSync(pack('zstd', data, size)).equals(data), `zstd ${data.length} ${size}`);
    }
  }
});

test('the same input gives the same bytes, and gzip tells no time', () => {
  const data = randomBytes(300_000);
  for (const compression of ['gzip', 'zstd'] as const)
    assert.ok(pack(compression, data, 1 << 20).equals(pack(compression, data, 1 << 20)));
  assert.deepEqual([...pack('gzip', data, 1 << 20).subarray(4, 8)], [0, 0, 0, 0]);
});
