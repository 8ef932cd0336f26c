import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmod,
  chown,
  link,
  lutimes,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { AT_FDCWD, bytesOf, mknodAt } from './at.ts';
import { S_IFCHR, S_IFIFO, statAt } from './stat.ts';
import { trees } from './trees.ts';
import { getXattr, listXattrs, removeXattr, setXattr } from './xattr.ts';

const never = new AbortController().signal;
let root: string;

beforeEach(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), 'hako-trees-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** A tree with one of everything. */
async function zoo(at: string): Promise<void> {
  await mkdir(path.join(at, 'deep/er'), { recursive: true });
  await writeFile(path.join(at, 'deep/er/data'), Buffer.alloc(100_000, 7));
  await link(path.join(at, 'deep/er/data'), path.join(at, 'same'));
  await symlink('/etc/passwd', path.join(at, 'link'));
  await lutimes(path.join(at, 'link'), 5, 6);
  await writeFile(path.join(at, 'tool'), '#!');
  await chown(path.join(at, 'tool'), 12, 34);
  await chmod(path.join(at, 'tool'), 0o6755);
  assert.equal(setXattr(bytesOf(path.join(at, 'tool')), 'user.colour', Buffer.from('red')), 0);
  assert.equal(mknodAt(AT_FDCWD, bytesOf(path.join(at, 'null')), S_IFCHR | 0o666, 1, 3), 0);
  assert.equal(mknodAt(AT_FDCWD, bytesOf(path.join(at, 'pipe')), S_IFIFO | 0o600, 0, 0), 0);
  await utimes(path.join(at, 'deep'), 1000, 2000.5);
  await chmod(at, 0o751);
}

const listing = (at: string): string =>
  execFileSync('find', ['.', '-printf', '%P %y %m %U %G %n %l %T@ %s\n'], { cwd: at, encoding: 'utf8' })
    .split('\n')
    .map((line) => line.replace(/( d .*) \d+$/, '$1'))
    .toSorted()
    .join('\n');

test('copy() keeps owners, modes, times, attributes, hard links and special files', async () => {
  const from = path.join(root, 'from');
  const to = path.join(root, 'to');
  await zoo(from);
  await trees.copy(from, to, never);
  assert.equal(listing(to), listing(from));
  assert.deepEqual(await readFile(path.join(to, 'same')), Buffer.alloc(100_000, 7));
  assert.equal((await stat(path.join(to, 'same'))).ino, (await stat(path.join(to, 'deep/er/data'))).ino);
  assert.equal(getXattr(bytesOf(path.join(to, 'tool')), 'user.colour')?.toString(), 'red');
  const device = statAt(AT_FDCWD, bytesOf(path.join(to, 'null')));
  assert.ok(typeof device !== 'number' && device.major === 1 && device.minor === 3);
});

test('weigh() counts as du does, a file with two names once', async () => {
  await zoo(root);
  const { bytes, inodes } = await trees.weigh(root, never);
  assert.equal(bytes, Number(execFileSync('du', ['-s', '--block-size=1', root], { encoding: 'utf8' }).split('\t')[0]));
  assert.equal(inodes, Number(execFileSync('du', ['-s', '--inodes', root], { encoding: 'utf8' }).split('\t')[0]));
});

test('remove() deletes a tree, not what its links point at, and may be asked twice', async () => {
  const inside = path.join(root, 'inside');
  const outside = path.join(root, 'outside');
  await zoo(inside);
  await mkdir(outside);
  await writeFile(path.join(outside, 'kept'), '');
  await symlink(outside, path.join(inside, 'deep/out'));
  await trees.remove(inside, never);
  await trees.remove(inside, never);
  await assert.rejects(stat(inside), { code: 'ENOENT' });
  await stat(path.join(outside, 'kept'));
  await trees.remove(path.join(root, 'never/was'), never);
});

test('names that are no UTF-8 are copied byte by byte', async () => {
  const from = Buffer.from(`${root}/from/`, 'latin1');
  await mkdir(path.join(root, 'from'));
  await writeFile(Buffer.concat([from, Buffer.from([0x66, 0xff, 0xfe])]), 'x');
  await trees.copy(path.join(root, 'from'), path.join(root, 'to'), never);
  assert.equal(
    (await readFile(Buffer.concat([Buffer.from(`${root}/to/`), Buffer.from([0x66, 0xff, 0xfe])]))).toString(),
    'x',
  );
});

test('attributes are set, read, listed and removed; a missing one is undefined', async () => {
  const file = bytesOf(path.join(root, 'file'));
  await writeFile(path.join(root, 'file'), '');
  const large = Buffer.alloc(1000, 'v');
  assert.equal(setXattr(file, 'user.large', large), 0);
  assert.equal(setXattr(file, 'user.empty', Buffer.alloc(0)), 0);
  assert.deepEqual(getXattr(file, 'user.large'), large);
  assert.equal(getXattr(file, 'user.empty')?.length, 0);
  assert.deepEqual(listXattrs(file).toSorted(), ['user.empty', 'user.large']);
  assert.equal(removeXattr(file, 'user.large'), 0);
  assert.equal(getXattr(file, 'user.large'), undefined);
});

test('sync() of a directory succeeds, of a missing one names it', async () => {
  await trees.sync(root, never);
  await assert.rejects(trees.sync('/no/such/place', never), { errno: 'ENOENT', message: /no\/such\/place/ });
});
