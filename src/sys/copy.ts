import { readdirSync } from 'node:fs';
import os from 'node:os';
import koffi from 'koffi';
import {
  AT_FDCWD,
  chmodAt,
  chmodFd,
  chownFd,
  closeFd,
  EEXIST,
  EPERM,
  ENOTSUP,
  lchownAt,
  linkAt,
  mkdirAt,
  mknodAt,
  failed,
  must,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  openAt,
  readlinkAt,
  symlinkAt,
  textOf,
  utimesAt,
  utimesFd,
  writeAll,
} from './at.ts';
import { libc } from './libc.ts';
import { type FileStat, S_IFDIR, S_IFLNK, S_IFREG, statAt, typeOf } from './stat.ts';
import { getXattr, listXattrs, setXattr } from './xattr.ts';

const ioctl = libc('int ioctl(int fd, unsigned long request, int argument)');
const copyFileRange = libc(
  'long copy_file_range(int from, void *fromOffset, int to, void *toOffset, size_t length, unsigned int flags)',
);
const readCall = libc('long read(int fd, void *buffer, size_t length)');
/** linux/fs.h */
const FICLONE = 0x4004_9409;

/** Copies the bytes of one open file to another, empty one: shared blocks where the file system can, else in the kernel. */
export function copyData(from: number, to: number, subject: string, check: () => void): void {
  if (ioctl(to, FICLONE, from) === 0) return;
  for (let started = false; ; started = true) {
    check();
    const copied = copyFileRange(from, null, to, null, 64 * 1024 * 1024, 0);
    if (copied === 0) break;
    if (copied > 0) continue;
    const errno = koffi.errno();
    const { EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, EINTR } = os.constants.errno;
    if (errno === EINTR) continue;
    if (started || ![EXDEV, EINVAL, ENOSYS, EOPNOTSUPP].includes(errno)) must(-errno, 'copy_file_range', subject);
    break;
  }
  // Some file systems (procfs, FUSE) answer 0 although there is more: what is left is read and written.
  const buffer = Buffer.allocUnsafe(1024 * 1024);
  for (;;) {
    check();
    const length = readCall(from, buffer, buffer.length);
    if (length === 0) return;
    must(length === -1 ? -koffi.errno() : length, 'read', subject);
    must(writeAll(to, buffer.subarray(0, length)), 'write', subject);
  }
}

/**
 * Copies the attributes of a name. A file system without them, or a name space we may not write (rootless), is no
 * error: containerd and GNU cp do the same. `skip` leaves names out.
 */
export function copyXattrs(from: string, to: string, skip?: (name: string) => boolean): void {
  for (const name of listXattrs(from)) {
    if (skip?.(name) === true) continue;
    const value = getXattr(from, name);
    if (value === undefined) continue;
    const result = setXattr(to, name, value);
    if (result !== ENOTSUP && !(result === EPERM && !name.startsWith('user.'))) must(result, 'lsetxattr', textOf(to));
  }
}

/** Where a name is: an open directory, and the name in it (a byte string). */
export interface Place {
  readonly directory: number;
  readonly name: string;
}

const procPath = ({ directory, name }: Place): string => `/proc/self/fd/${directory}/${name}`;

/**
 * Copies one file of any type, with owner, mode, attributes and times; of a directory not what is in it, and its times
 * are for later. `to` must not be there.
 */
export function copyNode(
  from: Place,
  stat: FileStat,
  to: Place,
  check: () => void,
  skip?: (name: string) => boolean,
): void {
  const subject = textOf(from.name);
  const permissions = stat.mode & 0o7777;
  if (typeOf(stat) === S_IFREG) {
    copyFile(from, stat, to, check, skip);
    return;
  }
  if (typeOf(stat) === S_IFLNK) {
    const target = readlinkAt(from.directory, from.name);
    if (typeof target === 'number') throw failed(target, 'readlink', subject);
    must(symlinkAt(target, to.directory, to.name), 'symlink', subject);
    must(lchownAt(to.directory, to.name, stat.uid, stat.gid), 'chown', subject);
  } else {
    if (typeOf(stat) === S_IFDIR) must(mkdirAt(to.directory, to.name, 0o700), 'mkdir', subject);
    else must(mknodAt(to.directory, to.name, typeOf(stat) | 0o600, stat.major, stat.minor), 'mknod', subject);
    must(lchownAt(to.directory, to.name, stat.uid, stat.gid), 'chown', subject);
    must(chmodAt(to.directory, to.name, permissions), 'chmod', subject);
  }
  copyXattrs(procPath(from), procPath(to), skip);
  must(utimesAt(to.directory, to.name, stat.atime, stat.mtime), 'utimensat', subject);
}

function copyFile(from: Place, stat: FileStat, to: Place, check: () => void, skip?: (name: string) => boolean): void {
  const subject = textOf(from.name);
  const source = must(openAt(from.directory, from.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK), 'open', subject);
  try {
    const target = must(openAt(to.directory, to.name, O_WRONLY | O_CREAT | O_EXCL, 0o600), 'create', subject);
    try {
      if (stat.size > 0) copyData(source, target, subject, check);
      // Owner first: chown(2) drops setuid bits and capabilities.
      must(chownFd(target, stat.uid, stat.gid), 'chown', subject);
      must(chmodFd(target, stat.mode & 0o7777), 'chmod', subject);
      copyXattrs(procPath(from), procPath(to), skip);
      must(utimesFd(target, stat.atime, stat.mtime), 'utimensat', subject);
    } finally {
      closeFd(target);
    }
  } finally {
    closeFd(source);
  }
}

/** The names in an open directory, as byte strings. */
export const namesIn = (directory: number): string[] =>
  readdirSync(`/proc/self/fd/${directory}`, { encoding: 'latin1' });

const openDirectory = (directory: number, name: string): number =>
  must(openAt(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), 'open', textOf(name));

/**
 * Copies the tree `from` to `to` (byte strings), which must be missing or empty, keeping owners, modes, times, attributes, hard
 * links and special files. Blocks its thread: for workers.
 */
export function copyTree(from: string, to: string, check: () => void): void {
  const made = mkdirAt(AT_FDCWD, to, 0o700);
  if (made !== EEXIST) must(made, 'mkdir', textOf(to));
  const source = openDirectory(AT_FDCWD, from);
  try {
    const target = openDirectory(AT_FDCWD, to);
    try {
      copyChildren(source, target, { root: target, path: '', links: new Map(), check });
      const stat = statAt(source, '');
      if (typeof stat === 'number') throw failed(stat, 'statx', textOf(from));
      finishDirectory(target, stat, textOf(to));
      copyXattrs(from, to);
      must(utimesFd(target, stat.atime, stat.mtime), 'utimensat', textOf(to));
    } finally {
      closeFd(target);
    }
  } finally {
    closeFd(source);
  }
}

interface Walk {
  readonly root: number;
  readonly path: string;
  /** Where the first name of each file with several went. */
  readonly links: Map<string, string>;
  readonly check: () => void;
}

function finishDirectory(fd: number, stat: FileStat, subject: string): void {
  must(chownFd(fd, stat.uid, stat.gid), 'chown', subject);
  must(chmodFd(fd, stat.mode & 0o7777), 'chmod', subject);
}

function copyChildren(source: number, target: number, walk: Walk): void {
  for (const name of namesIn(source)) {
    walk.check();
    const path = walk.path === '' ? name : `${walk.path}/${name}`;
    const stat = statAt(source, name);
    if (typeof stat === 'number') throw failed(stat, 'statx', textOf(path));
    const directory = typeOf(stat) === S_IFDIR;
    const first = !directory && stat.links > 1 ? walk.links.get(stat.key) : undefined;
    if (first !== undefined) {
      must(linkAt(walk.root, first, target, name), 'link', textOf(path));
      continue;
    }
    copyNode({ directory: source, name }, stat, { directory: target, name }, walk.check);
    if (directory) copyDirectory(source, target, name, stat, { ...walk, path });
    else if (stat.links > 1) walk.links.set(stat.key, path);
  }
}

function copyDirectory(source: number, target: number, name: string, stat: FileStat, walk: Walk): void {
  const from = openDirectory(source, name);
  try {
    const to = openDirectory(target, name);
    try {
      copyChildren(from, to, walk);
      // Filling it has changed its times.
      must(utimesFd(to, stat.atime, stat.mtime), 'utimensat', textOf(walk.path));
    } finally {
      closeFd(to);
    }
  } finally {
    closeFd(from);
  }
}
