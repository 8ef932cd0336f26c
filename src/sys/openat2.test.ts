import assert from 'node:assert/strict';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { openWithin, RESOLVE_BENEATH, RESOLVE_IN_ROOT } from './openat2.ts';

test('openWithin() keeps links and dots below the directory', () => {
  const root = mkdtempSync(path.join(os.tmpdir(), 'hako-openat2-'));
  const directory = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    writeFileSync(path.join(root, 'passwd'), 'ours');
    symlinkSync('/passwd', path.join(root, 'absolute'));
    symlinkSync('../../../passwd', path.join(root, 'climbing'));
    for (const name of ['passwd', 'absolute', 'climbing', '../../passwd', '/passwd']) {
      const fd = openWithin(directory, name, constants.O_RDONLY, RESOLVE_IN_ROOT);
      assert.equal(readFileSync(fd, 'utf8'), 'ours', name);
      closeSync(fd);
    }
    assert.throws(() => openWithin(directory, '../x', constants.O_RDONLY, RESOLVE_BENEATH), { errno: 'EXDEV' });
    assert.throws(() => openWithin(directory, 'absent', constants.O_RDONLY, RESOLVE_IN_ROOT), { errno: 'ENOENT' });
  } finally {
    closeSync(directory);
    rmSync(root, { recursive: true });
  }
});
