import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { lockDirectories } from './lock.ts';

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'hako-lock-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

test('directories are made with all above them, locked, and free again afterwards', (t) => {
  const directory = scratch(t);
  const config = { root: join(directory, 'a/b/root'), state: join(directory, 'a/state') };
  const lock = lockDirectories(config);
  assert.equal(statSync(config.root).mode & 0o777, 0o711);
  assert.throws(() => lockDirectories(config), new RegExp(`another hakod \\(pid ${process.pid}\\) is using it`));
  lock[Symbol.dispose]();
  lockDirectories(config)[Symbol.dispose]();
});

test('a directory that cannot be made is refused with the reason, and a refusal locks nothing', (t) => {
  const directory = scratch(t);
  const root = join(directory, 'root');
  const file = join(directory, 'file');
  writeFileSync(file, '');
  assert.throws(() => lockDirectories({ root, state: file }), /state directory ".*file".*: a file is in its place/);
  assert.throws(() => lockDirectories({ root, state: join(file, 'x') }), /a file is in its place, or in its path/);
  // The kernel answers "no such file" there, whatever is asked.
  assert.throws(() => lockDirectories({ root, state: '/proc/no/such' }), /cannot be made \(ENOENT\)/);
  assert.throws(() => lockDirectories({ root, state: `${root}/` }), /root and state are one directory/);
  lockDirectories({ root, state: join(directory, 'state') })[Symbol.dispose]();
});
