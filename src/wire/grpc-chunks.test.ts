import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Chunks } from './grpc-chunks.ts';

test('pieces of any size come out as they went in', () => {
  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, n) => n % 251));
  for (const sizes of [[1], [7, 20_000, 3], [65_536], [1, 16_383, 16_384, 1, 1]]) {
    const chunks = new Chunks();
    let at = 0;
    for (let n = 0; at < bytes.length; n++) {
      const size = sizes[n % sizes.length]!;
      chunks.add(bytes.subarray(at, at + size));
      at += size;
      if (n % 1000 === 0) assert.deepEqual(chunks.front(5).subarray(0, 5), bytes.subarray(0, Math.min(5, at)));
    }
    assert.equal(chunks.length, bytes.length);
    assert.ok(chunks.whole().equals(bytes));
    chunks.keep(chunks.whole().subarray(100));
    chunks.add(Buffer.from([1]));
    assert.ok(chunks.whole().equals(Buffer.concat([bytes.subarray(100), Buffer.from([1])])));
  }
});

test('a million pieces of one byte are not a million objects', () => {
  const read = Buffer.alloc(64 * 1024, 7);
  const chunks = new Chunks();
  const before = process.memoryUsage();
  for (let n = 0; n < 1_000_000; n++) chunks.add(read.subarray(n % read.length, (n % read.length) + 1));
  const after = process.memoryUsage();
  assert.ok(after.arrayBuffers - before.arrayBuffers < 4_000_000);
  assert.equal(chunks.whole().length, 1_000_000);
});
