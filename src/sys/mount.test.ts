import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MS_BIND, MS_RDONLY, MS_REC, parseOptions } from './mount.ts';

test('parseOptions() parts flags from the data of the file system', () => {
  const parsed = parseOptions(['ro', 'nosuid', 'lowerdir=/a:/b', 'index=off']);
  assert.equal(parsed.flags, MS_RDONLY | 2);
  assert.equal(parsed.data, 'lowerdir=/a:/b,index=off');
});

test('parseOptions() lets the later of two opposites win', () => {
  assert.equal(parseOptions(['ro', 'rw']).flags, 0);
  assert.equal(parseOptions(['rw', 'ro']).flags, MS_RDONLY);
});

test('parseOptions() keeps propagation apart, since it needs a call of its own', () => {
  const parsed = parseOptions(['rbind', 'rslave']);
  assert.equal(parsed.flags, MS_BIND | MS_REC);
  assert.deepEqual(parsed.propagation, [0x80000 | MS_REC]);
});
