import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSnapshotterConfig } from './config.ts';

const parse = (raw: unknown) => parseSnapshotterConfig(raw, ['root_path', 'mount_options']);

test("a snapshotter reads containerd's keys", () => {
  assert.deepEqual(parse({}), { mountOptions: [] });
  assert.deepEqual(parse({ root_path: '', mount_options: ['volatile'] }), { mountOptions: ['volatile'] });
  assert.deepEqual(parse({ root_path: '/data' }), { rootPath: '/data', mountOptions: [] });
});

test('a wrong key or value is refused by name', () => {
  assert.throws(() => parse({ mount_option: [] }), {
    code: 'invalid-argument',
    message: /did you mean "mount_options"/,
  });
  assert.throws(() => parse({ root_path: 'data' }), { code: 'invalid-argument', message: /absolute path/ });
  assert.throws(() => parse({ mount_options: 'ro' }), { code: 'invalid-argument', message: /array/ });
  assert.throws(() => parse({ mount_options: ['ro,noexec'] }), { code: 'invalid-argument' });
  assert.throws(() => parse([]), { code: 'invalid-argument' });
});
