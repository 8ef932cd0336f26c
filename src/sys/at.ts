import os from 'node:os';
import koffi from 'koffi';
import { HakoError } from '#base/errors.ts';
import { libc, SysError } from './libc.ts';

/**
 * System calls that name a file by an open directory and one name in it, for threads that may block. File names are
 * bytes to the kernel and to tar, so here a name is a *byte string*: a string of which each character is one byte
 * (latin1). `bytesOf` and `textOf` convert.
 *
 * Each gives what the call gave, or the negative errno: a file that is already there is no exception when unpacking.
 * Wrap a call that must succeed in `must`.
 */

export const bytesOf = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');
export const textOf = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8');

const { errno } = os.constants;
export const ENOENT = -errno.ENOENT;
export const EEXIST = -errno.EEXIST;
export const EISDIR = -errno.EISDIR;
export const ENOTDIR = -errno.ENOTDIR;
export const ENOTEMPTY = -errno.ENOTEMPTY;
export const ELOOP = -errno.ELOOP;
export const EPERM = -errno.EPERM;
export const EXDEV = -errno.EXDEV;
export const EINVAL = -errno.EINVAL;
export const ENOTSUP = -errno.EOPNOTSUPP;
export const ENOSYS = -errno.ENOSYS;

// <fcntl.h>. The ones below differ between architectures, hence the table.
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
const arm = process.arch === 'arm64' || process.arch === 'arm';
export const O_DIRECTORY = arm ? 0o40000 : 0o200000;
export const O_NOFOLLOW = arm ? 0o100000 : 0o400000;

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_EMPTY_PATH = 0x1000;

const openatCall = libc('int openat(int directory, const void *name, int flags, unsigned int mode)');
const closeCall = libc('int close(int fd)');
const mkdiratCall = libc('int mkdirat(int directory, const void *name, unsigned int mode)');
const symlinkatCall = libc('int symlinkat(const void *target, int directory, const void *name)');
const linkatCall = libc(
  'int linkat(int oldDirectory, const void *oldName, int newDirectory, const void *newName, int flags)',
);
const unlinkatCall = libc('int unlinkat(int directory, const void *name, int flags)');
const readlinkatCall = libc('long readlinkat(int directory, const void *name, void *buffer, size_t size)');
const fchownatCall = libc(
  'int fchownat(int directory, const void *name, unsigned int uid, unsigned int gid, int flags)',
);
const fchmodCall = libc('int fchmod(int fd, unsigned int mode)');
const fchmodatCall = libc('int fchmodat(int directory, const void *name, unsigned int mode, int flags)');
const utimensatCall = libc('int utimensat(int directory, const void *name, const void *times, int flags)');
const futimensCall = libc('int futimens(int fd, const void *times)');
const fchownCall = libc('int fchown(int fd, unsigned int uid, unsigned int gid)');
const ftruncateCall = libc('int ftruncate(int fd, long length)');
const writeCall = libc('long write(int fd, const void *data, size_t length)');
// glibc has mknodat() only since 2.33; the kernel's call takes its 32-bit form of a device number.
const mknodatCall = libc(
  'long syscall(long number, int directory, const void *name, unsigned int mode, unsigned int device)',
);
const mknodatNumber = process.arch === 'x64' ? 259 : 33;

/** The kernel's limit for one path (PATH_MAX), with the closing zero. */
const pathMax = 4096;
// A thread runs one call at a time, so two buffers serve all of them.
const scratch = Buffer.alloc(pathMax);
const second = Buffer.alloc(pathMax);
const links = Buffer.alloc(pathMax);
const times = new BigInt64Array(4);

/** Ends a byte string with a zero in a buffer that the next call reuses. A zero inside would cut the name: refused. */
function zeroed(name: string, into = scratch): Buffer {
  if (name.length >= pathMax) throw new SysError('path', errno.ENAMETOOLONG, `${textOf(name.slice(0, 64))}…`);
  if (name.includes('\0'))
    throw new HakoError('invalid-argument', `file name "${textOf(name).replaceAll('\0', '\\0')}" holds a zero byte`);
  into.write(name, 0, 'latin1');
  into[name.length] = 0;
  return into;
}

const negative = (result: number): number => (result === -1 ? -koffi.errno() : result);

/** Throws a SysError when a call of this file failed. `subject` is for people, not a byte string. */
export function must(result: number, call: string, subject: string): number {
  if (result < 0) throw new SysError(call, -result, subject);
  return result;
}

/** The SysError of a negative errno, to throw where a call gave something else than a number. */
export const failed = (errno: number, call: string, subject: string): SysError => new SysError(call, -errno, subject);

/** openat(2); always O_CLOEXEC, so that no child process inherits what a worker has open. */
export const openAt = (directory: number, name: string, flags: number, mode = 0): number =>
  negative(openatCall(directory, zeroed(name), flags | O_CLOEXEC, mode));
export const closeFd = (fd: number): number => negative(closeCall(fd));
export const mkdirAt = (directory: number, name: string, mode: number): number =>
  negative(mkdiratCall(directory, zeroed(name), mode));
export const symlinkAt = (target: string, directory: number, name: string): number =>
  negative(symlinkatCall(zeroed(target, second), directory, zeroed(name)));
/** linkat(2) without following a last symbolic link. */
export const linkAt = (oldDirectory: number, oldName: string, newDirectory: number, newName: string): number =>
  negative(linkatCall(oldDirectory, zeroed(oldName, second), newDirectory, zeroed(newName), 0));
export const unlinkAt = (directory: number, name: string, flags = 0): number =>
  negative(unlinkatCall(directory, zeroed(name), flags));
export const chownFd = (fd: number, uid: number, gid: number): number => negative(fchownCall(fd, uid, gid));
export const chmodFd = (fd: number, mode: number): number => negative(fchmodCall(fd, mode));
export const truncateFd = (fd: number, length: number): number => negative(ftruncateCall(fd, length));
export const lchownAt = (directory: number, name: string, uid: number, gid: number): number =>
  negative(fchownatCall(directory, zeroed(name), uid, gid, AT_SYMLINK_NOFOLLOW));

/** fchmodat(2). It follows a last symbolic link: only for names the caller has just made and knows to be none. */
export const chmodAt = (directory: number, name: string, mode: number): number =>
  negative(fchmodatCall(directory, zeroed(name), mode, 0));

/** mknodat(2): devices, FIFOs, sockets and overlayfs' whiteouts. `mode` holds the type (S_IFCHR …). */
export function mknodAt(directory: number, name: string, mode: number, major: number, minor: number): number {
  // linux/kdev_t.h, new_encode_dev().
  const device = ((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0;
  return negative(mknodatCall(mknodatNumber, directory, zeroed(name), mode, device));
}

/** The target of a symbolic link as a byte string, or the negative errno. */
export function readlinkAt(directory: number, name: string): string | number {
  const length = negative(readlinkatCall(directory, zeroed(name), links, pathMax));
  if (length < 0) return length;
  return links.toString('latin1', 0, length);
}

/** A moment as the kernel counts it. `seconds` may be negative; `nanoseconds` are 0 to 999,999,999. */
export interface Moment {
  readonly seconds: number;
  readonly nanoseconds: number;
}

function setTimes(atime: Moment, mtime: Moment): BigInt64Array {
  times[0] = BigInt(atime.seconds);
  times[1] = BigInt(atime.nanoseconds);
  times[2] = BigInt(mtime.seconds);
  times[3] = BigInt(mtime.nanoseconds);
  return times;
}

/** Sets the times of a name itself, never of what a link points at. */
export const utimesAt = (directory: number, name: string, atime: Moment, mtime: Moment): number =>
  negative(utimensatCall(directory, zeroed(name), setTimes(atime, mtime), AT_SYMLINK_NOFOLLOW));
export const utimesFd = (fd: number, atime: Moment, mtime: Moment): number =>
  negative(futimensCall(fd, setTimes(atime, mtime)));

/** Writes all of `data`, however many calls that takes. */
export function writeAll(fd: number, data: Uint8Array): number {
  let done = 0;
  while (done < data.length) {
    const wrote = negative(writeCall(fd, done === 0 ? data : data.subarray(done), data.length - done));
    if (wrote === -errno.EINTR) continue;
    if (wrote < 0) return wrote;
    done += wrote;
  }
  return done;
}
