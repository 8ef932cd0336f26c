import os from 'node:os';
import koffi from 'koffi';
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, type Moment } from './at.ts';
import { libc } from './libc.ts';

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;

/** What statx(2) tells; its layout is one on all architectures. */
export interface FileStat {
  /** Type and permissions. */
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  /** Device and inode, as a key. */
  readonly key: string;
  readonly device: number;
  readonly size: number;
  /** Of 512 bytes each, whatever the file system's own block is. */
  readonly blocks: number;
  readonly atime: Moment;
  readonly mtime: Moment;
  /** Of the device that a special file stands for. */
  readonly major: number;
  readonly minor: number;
}

const statxCall = libc('int statx(int directory, const void *name, int flags, unsigned int mask, void *buffer)');
const STATX_BASIC_STATS = 0x7ff;
// Do not wait for a server: what is here is enough.
const AT_STATX_DONT_SYNC = 0x4000;
const buffer = Buffer.alloc(256);
const name = Buffer.alloc(4096);

/** Looks at a name (a byte string, see at.ts) without following it; '' is the open file itself. Or the negative errno. */
export function statAt(directory: number, path: string): FileStat | number {
  if (path.length >= name.length) return -os.constants.errno.ENAMETOOLONG;
  name.write(path, 0, 'latin1');
  name[path.length] = 0;
  const flags = AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC | (path === '' ? AT_EMPTY_PATH : 0);
  if (statxCall(directory, name, flags, STATX_BASIC_STATS, buffer) === -1) return -koffi.errno();
  const deviceMajor = buffer.readUInt32LE(136);
  const deviceMinor = buffer.readUInt32LE(140);
  const moment = (at: number): Moment => ({
    seconds: Number(buffer.readBigInt64LE(at)),
    nanoseconds: buffer.readUInt32LE(at + 8),
  });
  return {
    links: buffer.readUInt32LE(16),
    uid: buffer.readUInt32LE(20),
    gid: buffer.readUInt32LE(24),
    mode: buffer.readUInt16LE(28),
    key: `${deviceMajor}:${deviceMinor}:${buffer.readBigUInt64LE(32)}`,
    device: deviceMajor * 0x100000 + deviceMinor,
    size: Number(buffer.readBigUInt64LE(40)),
    blocks: Number(buffer.readBigUInt64LE(48)),
    atime: moment(64),
    mtime: moment(112),
    major: buffer.readUInt32LE(128),
    minor: buffer.readUInt32LE(132),
  };
}

export const typeOf = (stat: FileStat): number => stat.mode & S_IFMT;
export const isDirectory = (stat: FileStat): boolean => typeOf(stat) === S_IFDIR;
/** overlayfs marks a deleted name with a character device 0/0. */
export const isWhiteout = (stat: FileStat): boolean => typeOf(stat) === S_IFCHR && stat.major === 0 && stat.minor === 0;
