import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check, libc, SysError } from './libc.ts';

const rmdir = libc('int rmdir(const char *path)');

test('check() names the call, the subject and errno', () => {
  assert.throws(
    () => check(rmdir('/no such directory'), 'rmdir', '/no such directory'),
    (error) =>
      error instanceof SysError && error.errno === 'ENOENT' && error.message === 'rmdir "/no such directory": ENOENT',
  );
});
