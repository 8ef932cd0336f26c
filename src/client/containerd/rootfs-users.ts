import { closeSync, fstatSync, mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HakoError, messageOf } from '#base/errors.ts';
import { closeFd, O_NONBLOCK, O_RDONLY, openFd } from '#sys/fd.ts';
import { SysError } from '#sys/libc.ts';
import { mountAll, unmountAll, type MountWords } from '#sys/mount.ts';
import { openWithin, RESOLVE_IN_ROOT } from '#sys/openat2.ts';
import type { UserFiles } from '../spec/users.ts';

/** No list of users is larger; a file that is, is something else. */
const largest = 16 * 1024 * 1024;

/** The lists of users of a root file system: a directory, or a snapshot's mounts, which are looked at read-only. */
export function readUserFiles(root: string | readonly MountWords[]): UserFiles {
  const directory = typeof root === 'string' ? openRoot(root) : openMounted(root);
  try {
    return { passwd: readBelow(directory, 'etc/passwd'), group: readBelow(directory, 'etc/group') };
  } finally {
    closeFd(directory);
  }
}

const O_DIRECTORY = 0x10000;

const openRoot = (path: string): number => openFd(path, O_RDONLY | O_DIRECTORY);

/** The open directory keeps the file system; nobody else gets to see the mount. */
function openMounted(mounts: readonly MountWords[]): number {
  const target = mkdtempSync(join(tmpdir(), 'hakoctl-rootfs-'));
  try {
    mountAll(mounts.map(readOnly), target);
    return openRoot(target);
  } catch (error) {
    throw new HakoError(
      'unknown',
      `cannot look up users in the container's root file system: ${messageOf(error)}: hakoctl must run as root, on the daemon's own machine`,
      error,
    );
  } finally {
    unmountAll(target);
    rmdirSync(target);
  }
}

/**
 * overlayfs writes to its upper directory even when it is mounted read-only, so that one becomes a lower one. Whose the
 * files are does not matter to who only reads, so ids are not mapped.
 */
export function readOnly(mount: MountWords): MountWords {
  const upper = value(mount, 'upperdir=');
  const lower = value(mount, 'lowerdir=');
  const kept = mount.options.filter((option) => !/^(rw$|ro$|uidmap=|gidmap=)/.test(option));
  if (mount.type !== 'overlay' || upper === undefined || lower === undefined)
    return { ...mount, options: [...kept, 'ro'] };
  const others = kept.filter((option) => !/^(upperdir|workdir|lowerdir)=/.test(option));
  return { ...mount, options: [...others, `lowerdir=${upper}:${lower}`, 'ro'] };
}

const value = ({ options }: MountWords, name: string): string | undefined =>
  options.find((option) => option.startsWith(name))?.slice(name.length);

/** Links lead nowhere outside of the root. undefined where there is no such file. */
function readBelow(directory: number, path: string): string | undefined {
  let fd: number;
  try {
    fd = openWithin(directory, path, O_RDONLY | O_NONBLOCK, RESOLVE_IN_ROOT);
  } catch (error) {
    if (error instanceof SysError && ['ENOENT', 'ENOTDIR'].includes(error.errno)) return undefined;
    throw error;
  }
  try {
    const found = fstatSync(fd);
    if (!found.isFile() || found.size > largest)
      throw new HakoError('invalid-argument', `file "/${path}" of the image: not a list of users`);
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}
