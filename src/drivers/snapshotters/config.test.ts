import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSnapshotterConfig } from './config.ts';

const parse = (raw: unknown) => parseSnapshotterConfig(raw, ['root_path', 'mount_options']);

test("a snapshotter reads containerd's keys", () => {
  const defaults = { mountOptions: [], upperdirLabel: false, slowChown: false };
  assert.deepEqual(parse({}), defaults);
  assert.deepEqual(parse({ root_path: '', mount_options: ['volatile'] }), { ...defaults, mountOptions: ['volatile'] });
  assert.deepEqual(parse({ root_path: '/data' }), { ...defaults, rootPath: '/data' });
  const flags = { upperdir_label: true, slow_chown: true, sync_remove: true };
  const parsed = parseSnapshotterConfig(flags, ['upperdir_label', 'slow_chown', 'sync_remove']);
  assert.deepEqual(parsed, { ...defaults, upperdirLabel: true, slowChown: true });
});

test('a wrong key or value is refused by name', () => {
  assert.throws(() => parse({ mount_option: [] }), {
    code: 'invalid-argument',
    message: /did you mean "mount_options"/,
  });
  assert.throws(() => parse({ root_path: 'data' }), { code: 'invalid-argument', message: /absolute path/ });
  assert.throws(() => parse({ mount_options: 'ro' }), { code: 'invalid-argument', message: /array/ });
  assert.throws(() => parse({ mount_options: ['ro,noexec'] }), { code: 'invalid-argument' });
  assert.throws(() => parseSnapshotterConfig({ slow_chown: 'yes' }, ['slow_chown']), { message: /true or false/ });
  assert.throws(() => parse([]), { code: 'invalid-argument' });
});
