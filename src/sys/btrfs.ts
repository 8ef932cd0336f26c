import {
  AT_FDCWD,
  bytesOf,
  closeFd,
  EEXIST,
  ENOENT,
  ENOTEMPTY,
  must,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openAt,
  textOf,
} from './at.ts';
import { namesIn } from './copy.ts';
import { failedWith, libc } from './libc.ts';
import { isDirectory, statAt } from './stat.ts';

/** Subvolumes of btrfs (linux/btrfs.h), for threads that may block: each change waits for a transaction. */

const ioctlCall = libc('int ioctl(int fd, unsigned long request, void *argument)');

const BTRFS_IOC_SUBVOL_CREATE = 0x5000940e;
const BTRFS_IOC_SNAP_DESTROY = 0x5000940f;
const BTRFS_IOC_INO_LOOKUP = 0xd0009412;
const BTRFS_IOC_SNAP_CREATE_V2 = 0x50009417;
const BTRFS_IOC_SUBVOL_GETFLAGS = 0x80089419;
const BTRFS_IOC_SUBVOL_SETFLAGS = 0x4008941a;
const BTRFS_SUBVOL_RDONLY = 2n;
/** The root directory of every subvolume has this inode number. */
const FIRST_FREE_OBJECTID = 256;

/** All of them but the flags take one page. */
const pageSize = 4096;
/** Where the name stands in btrfs_ioctl_vol_args, and in the second version of it. */
const nameAt = 8;
const nameAtV2 = 56;
const longestName = 255;

function withDirectory<T>(path: string, use: (fd: number) => T): T {
  const fd = must(openAt(AT_FDCWD, bytesOf(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW), 'open', path);
  try {
    return use(fd);
  } finally {
    closeFd(fd);
  }
}

const ioctl = (fd: number, request: number, argument: Buffer): number =>
  ioctlCall(fd, request, argument) === -1 ? failedWith() : 0;

/** A page with a name in it (a byte string, see at.ts). */
function named(name: string, at: number): Buffer {
  const page = Buffer.alloc(pageSize);
  if (name.length === 0 || name.length > longestName || name.includes('/'))
    throw new RangeError(`"${textOf(name)}" cannot be a subvolume's name`);
  page.write(name, at, 'latin1');
  return page;
}

/** Makes an empty subvolume in a directory. False when the name is taken. */
export function createSubvolume(directory: string, name: string): boolean {
  return withDirectory(directory, (fd) => {
    const made = ioctl(fd, BTRFS_IOC_SUBVOL_CREATE, named(bytesOf(name), nameAt));
    if (made === EEXIST) return false;
    must(made, 'ioctl BTRFS_IOC_SUBVOL_CREATE', `${directory}/${name}`);
    return true;
  });
}

/** Makes a subvolume that begins as another one is now. False when the name is taken. */
export function snapshotSubvolume(from: string, directory: string, name: string, readonly: boolean): boolean {
  return withDirectory(from, (source) =>
    withDirectory(directory, (fd) => {
      const request = named(bytesOf(name), nameAtV2);
      request.writeBigInt64LE(BigInt(source), 0);
      if (readonly) request.writeBigUInt64LE(BTRFS_SUBVOL_RDONLY, 16);
      const made = ioctl(fd, BTRFS_IOC_SNAP_CREATE_V2, request);
      if (made === EEXIST) return false;
      must(made, 'ioctl BTRFS_IOC_SNAP_CREATE_V2', `${directory}/${name}`);
      return true;
    }),
  );
}

/** Lets nobody write to a subvolume any more, by whatever mount, or everybody again. */
export function setSubvolumeReadonly(path: string, readonly: boolean): void {
  withDirectory(path, (fd) => {
    const flags = Buffer.alloc(8);
    must(ioctl(fd, BTRFS_IOC_SUBVOL_GETFLAGS, flags), 'ioctl BTRFS_IOC_SUBVOL_GETFLAGS', path);
    const before = flags.readBigUInt64LE();
    const after = readonly ? before | BTRFS_SUBVOL_RDONLY : before & ~BTRFS_SUBVOL_RDONLY;
    if (before === after) return;
    flags.writeBigUInt64LE(after);
    must(ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, flags), 'ioctl BTRFS_IOC_SUBVOL_SETFLAGS', path);
  });
}

/** The number that the mount option `subvolid` names a subvolume by. */
export function subvolumeId(path: string): number {
  return withDirectory(path, (fd) => {
    const request = Buffer.alloc(pageSize);
    request.writeBigUInt64LE(BigInt(FIRST_FREE_OBJECTID), 8);
    must(ioctl(fd, BTRFS_IOC_INO_LOOKUP, request), 'ioctl BTRFS_IOC_INO_LOOKUP', path);
    return Number(request.readBigUInt64LE(0));
  });
}

/** Deletes a subvolume with those that were made within it. Idempotent. */
export function deleteSubvolume(directory: string, name: string, check: () => void): void {
  withDirectory(directory, (fd) => destroy(fd, bytesOf(name), `${directory}/${name}`, check));
}

function destroy(directory: number, name: string, path: string, check: () => void): void {
  const request = named(name, nameAt);
  let gone = ioctl(directory, BTRFS_IOC_SNAP_DESTROY, request);
  if (gone === ENOENT) return;
  if (gone === ENOTEMPTY) {
    // Whoever runs containers within a container has made some there; a sealed one does not let go of them.
    setSubvolumeReadonly(path, false);
    destroyWithin(directory, name, path, check);
    gone = ioctl(directory, BTRFS_IOC_SNAP_DESTROY, request);
  }
  if (gone !== ENOENT) must(gone, 'ioctl BTRFS_IOC_SNAP_DESTROY', path);
}

function destroyWithin(directory: number, name: string, path: string, check: () => void): void {
  check();
  const fd = must(openAt(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), 'open', path);
  try {
    for (const child of namesIn(fd)) {
      const stat = statAt(fd, child);
      if (typeof stat === 'number' || !isDirectory(stat)) continue;
      const below = `${path}/${textOf(child)}`;
      if (stat.key.endsWith(`:${FIRST_FREE_OBJECTID}`)) destroy(fd, child, below, check);
      else destroyWithin(fd, child, below, check);
    }
  } finally {
    closeFd(fd);
  }
}
