import { check, lastErrno, libc } from './libc.ts';

const fcntlCall = libc('int fcntl(int fd, int command, void *lock)');
const lseekCall = libc('int64_t lseek(int fd, int64_t offset, int whence)');

// From <fcntl.h> and <linux/fcntl.h>; the same on every 64-bit Linux.
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
const SEEK_DATA = 3;

/** struct flock with 64-bit offsets: type, whence (SEEK_SET), start, length (0: however far the file grows), pid. */
function flock(type: number, from: number, to: number): DataView {
  const lock = new DataView(new ArrayBuffer(32));
  lock.setInt16(0, type, true);
  lock.setBigInt64(8, BigInt(from), true);
  lock.setBigInt64(16, to === Infinity ? 0n : BigInt(to - from), true);
  return lock;
}

const bytesOf = (lock: DataView): Uint8Array => new Uint8Array(lock.buffer);

function tryLock(fd: number, type: number, from: number, to: number): boolean {
  const result = fcntlCall(fd, F_OFD_SETLK, bytesOf(flock(type, from, to)));
  if (result === -1 && ['EAGAIN', 'EACCES'].includes(lastErrno())) return false;
  check(result, 'fcntl(F_OFD_SETLK)', String(fd));
  return true;
}

/**
 * Takes a shared lock on [from, to) of a file that is open for reading; false, at once, while somebody has part of it
 * exclusively. It belongs to the open file (fcntl_locking(2), "Open file description locks"): it binds other opens of the
 * same file, in this process too, and goes with the last descriptor, however its process ends. Nobody is kept from reading
 * or writing who does not ask.
 */
export const tryShareRange = (fd: number, from: number, to: number): boolean => tryLock(fd, F_RDLCK, from, to);

/** As `tryShareRange`, but for itself alone, of a file that is open for writing. */
export const tryClaimRange = (fd: number, from: number, to: number): boolean => tryLock(fd, F_WRLCK, from, to);

/** Lets go of what this open file has locked in [from, to). */
export function releaseRange(fd: number, from: number, to: number): void {
  check(fcntlCall(fd, F_OFD_SETLK, bytesOf(flock(F_UNLCK, from, to))), 'fcntl(F_OFD_SETLK)', String(fd));
}

/** The first offset of [from, to) that another open file has locked, or `to`. */
export function firstLocked(fd: number, from: number, to: number): number {
  let end = to;
  // The kernel tells of any one lock that is in the way, so each shortens the range to ask about.
  while (end > from) {
    const lock = flock(F_WRLCK, from, end);
    const bytes = bytesOf(lock);
    check(fcntlCall(fd, F_OFD_GETLK, bytes), 'fcntl(F_OFD_GETLK)', String(fd));
    if (lock.getInt16(0, true) === F_UNLCK) break;
    end = Math.max(from, Number(lock.getBigInt64(8, true)));
  }
  return end;
}

/**
 * The first offset from `from` on that is not in a hole; undefined when only holes, or nothing, follow. A file system that
 * knows of no holes gives `from` (lseek(2), SEEK_DATA). Moves the open file's own position.
 */
export function seekData(fd: number, from: number): number | undefined {
  const result = lseekCall(fd, from, SEEK_DATA);
  if (Number(result) === -1 && lastErrno() === 'ENXIO') return undefined;
  return check(result, 'lseek(SEEK_DATA)', String(fd));
}
