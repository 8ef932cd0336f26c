import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readOnly, readUserFiles } from './rootfs-users.ts';

const root = mkdtempSync(join(tmpdir(), 'rootfs-users-'));
after(() => rmSync(root, { recursive: true }));

test('an overlay is looked at without its upper directory being written to', () => {
  const options = ['index=off', 'workdir=/w', 'upperdir=/u', 'lowerdir=/a:/b', 'uidmap=0:1:2', 'rw'];
  assert.deepEqual(readOnly({ type: 'overlay', source: 'overlay', options }).options, [
    'index=off',
    'lowerdir=/u:/a:/b',
    'ro',
  ]);
  assert.deepEqual(readOnly({ type: 'bind', source: '/x', options: ['rbind', 'rw'] }).options, ['rbind', 'ro']);
  assert.deepEqual(readOnly({ type: 'overlay', source: 'overlay', options: ['lowerdir=/a:/b'] }).options, [
    'lowerdir=/a:/b',
    'ro',
  ]);
});

test('links stay within the root; what is not there is undefined; a directory is no list', () => {
  assert.deepEqual(readUserFiles(root), { passwd: undefined, group: undefined });
  mkdirSync(join(root, 'etc'));
  mkdirSync(join(root, 'run'));
  writeFileSync(join(root, 'run/passwd'), 'inside:x:7:7\n');
  symlinkSync('/run/passwd', join(root, 'etc/passwd'));
  symlinkSync('../../../../../../etc/group', join(root, 'etc/group'));
  assert.throws(() => readUserFiles(root), /ELOOP/);
  rmSync(join(root, 'etc/group'));
  assert.deepEqual(readUserFiles(root), { passwd: 'inside:x:7:7\n', group: undefined });
  mkdirSync(join(root, 'etc/group'));
  assert.throws(() => readUserFiles(root), /"\/etc\/group" of the image: not a list of users/);
});
