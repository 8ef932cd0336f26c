import assert from 'node:assert/strict';
import { chownSync, lstatSync, mkdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { RootfsDriver } from './rootfs.ts';

const never = new AbortController().signal;

async function scratch(): Promise<{ dir: string; driver: RootfsDriver; mounts: () => string } & AsyncDisposable> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'hako-rootfs-'));
  const driver = new RootfsDriver({ directory: path.join(dir, 'blink') });
  const mounts = (): string =>
    readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(dir))
      .join('\n');
  return { dir, driver, mounts, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

const bind = (source: string) => [{ type: 'bind', source, options: ['rbind', 'rw'] }];
const decode = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString();

test('files are read inside the root, and no link leads outside', async () => {
  await using place = await scratch();
  const root = path.join(place.dir, 'root');
  mkdirSync(path.join(root, 'etc'), { recursive: true });
  mkdirSync(path.join(root, 'tmp'));
  writeFileSync(path.join(place.dir, 'secret'), 'outside');
  writeFileSync(path.join(root, 'tmp/real'), 'inside');
  symlinkSync('/tmp/real', path.join(root, 'etc/passwd'));
  symlinkSync(path.join(place.dir, 'secret'), path.join(root, 'etc/group'));
  symlinkSync('../../../secret', path.join(root, 'etc/shadow'));
  const read = await place.driver.readFiles(
    bind(root),
    ['/etc/passwd', '/etc/group', '/etc/shadow', '/etc', '/none'],
    never,
  );
  assert.deepEqual(read.map(decode), ['inside', undefined, undefined, undefined, undefined]);
  assert.equal(place.mounts(), '');
});

test('an overlay is read through all its layers without being mounted a second time for writing', async (t) => {
  await using place = await scratch();
  for (const name of ['lower', 'upper', 'work']) mkdirSync(path.join(place.dir, name));
  writeFileSync(path.join(place.dir, 'lower/a'), 'low');
  writeFileSync(path.join(place.dir, 'lower/b'), 'low');
  writeFileSync(path.join(place.dir, 'upper/b'), 'up');
  const { lower, upper, work } = {
    lower: `${place.dir}/lower`,
    upper: `${place.dir}/upper`,
    work: `${place.dir}/work`,
  };
  const overlay = [
    { type: 'overlay', source: 'overlay', options: [`lowerdir=${lower}`, `upperdir=${upper}`, `workdir=${work}`] },
  ];
  try {
    const read = await place.driver.readFiles(overlay, ['/a', '/b'], never);
    assert.deepEqual(read.map(decode), ['low', 'up']);
  } catch (error) {
    if (error instanceof Error && /ENODEV|EPERM|EINVAL/.test(error.message))
      return t.skip('overlayfs is not available here');
    throw error;
  }
  assert.equal(place.mounts(), '');
});

test('a live process is read through its own root', async () => {
  await using place = await scratch();
  const [hostname] = await place.driver.readFilesOf(process.pid, ['/proc/sys/kernel/ostype'], never);
  assert.notEqual(hostname, undefined);
  await assert.rejects(place.driver.readFilesOf(2 ** 22 + 1, ['/etc/passwd'], never), { code: 'not-found' });
});

test('copying up keeps owners, modes and links, and says when there is nothing to copy', async () => {
  await using place = await scratch();
  const data = path.join(place.dir, 'root/var/data');
  const target = path.join(place.dir, 'volume');
  mkdirSync(data, { recursive: true, mode: 0o750 });
  mkdirSync(target);
  chownSync(data, 999, 998);
  writeFileSync(path.join(data, 'file'), 'content', { mode: 0o600 });
  chownSync(path.join(data, 'file'), 5, 6);
  symlinkSync('/etc/passwd', path.join(data, 'link'));
  const mounts = bind(path.join(place.dir, 'root'));
  assert.equal(await place.driver.copyUp(mounts, '/var/data', target, never), true);
  const file = lstatSync(path.join(target, 'file'));
  const top = lstatSync(target);
  assert.deepEqual([file.uid, file.gid, file.mode & 0o777], [5, 6, 0o600]);
  assert.deepEqual([top.uid, top.gid, top.mode & 0o777], [999, 998, 0o750]);
  assert.equal(readlinkSync(path.join(target, 'link')), '/etc/passwd');
  assert.equal(await place.driver.copyUp(mounts, '/nowhere', target, never), false);
  assert.equal(place.mounts(), '');
});
