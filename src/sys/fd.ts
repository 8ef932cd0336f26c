import { check, lastErrno, libc } from './libc.ts';

const openCall = libc('int open(const char *path, int flags, unsigned int mode)');
const closeCall = libc('int close(int fd)');
const readCall = libc('int64_t read(int fd, void *buffer, size_t size)');
const writeCall = libc('int64_t write(int fd, void *buffer, size_t size)');
const pipe2Call = libc('int pipe2(int *ends, int flags)');
const mkfifoCall = libc('int mkfifo(const char *path, unsigned int mode)');
const fcntlCall = libc('int fcntl(int fd, int command, int argument)');
const ioctlCall = libc('int ioctl(int fd, unsigned long request, void *argument)');
const fallocateCall = libc('int fallocate(int fd, int mode, int64_t offset, int64_t size)');

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0x40;
export const O_TRUNC = 0x200;
export const O_APPEND = 0x400;
export const O_NONBLOCK = 0x800;
export const O_CLOEXEC = 0x80000;

/** open(2) that no child inherits. Throws a SysError with its errno. */
export function openFd(path: string, flags: number, mode = 0o600): number {
  return check(openCall(path, flags | O_CLOEXEC, mode), 'open', path);
}

/** open(2), or the name of errno when it failed. */
export function tryOpenFd(path: string, flags: number, mode = 0o600): number | string {
  const fd = openCall(path, flags | O_CLOEXEC, mode);
  return fd === -1 ? lastErrno() : fd;
}

/** close(2); what it says is of no use to anyone. */
export function closeFd(fd: number): void {
  closeCall(fd);
}

/** How many bytes moved, or the name of errno (`EAGAIN`, `EPIPE`). */
export type Moved = number | string;

const moved = (result: number): Moved => (Number(result) === -1 ? lastErrno() : Number(result));

export const readFd = (fd: number, buffer: Uint8Array): Moved => moved(readCall(fd, buffer, buffer.byteLength));
export const writeFd = (fd: number, buffer: Uint8Array): Moved => moved(writeCall(fd, buffer, buffer.byteLength));

/** A pipe that no child inherits; neither end is non-blocking, since each end has an open file of its own. */
export function pipe(): { read: number; write: number } {
  const ends = new Int32Array(2);
  check(pipe2Call(ends, O_CLOEXEC), 'pipe2', 'pipe');
  return { read: ends[0]!, write: ends[1]! };
}

/** Makes a FIFO; one that is there already is taken as it is. */
export function makeFifo(path: string, mode = 0o600): void {
  const result = mkfifoCall(path, mode);
  if (result === -1 && lastErrno() === 'EEXIST') return;
  check(result, 'mkfifo', path);
}

/** Sets O_NONBLOCK on the open file, for everyone who shares it. */
export function setNonblocking(fd: number): void {
  const F_GETFL = 3;
  const F_SETFL = 4;
  check(
    fcntlCall(fd, F_SETFL, check(fcntlCall(fd, F_GETFL, 0), 'fcntl', String(fd)) | O_NONBLOCK),
    'fcntl',
    String(fd),
  );
}

/** Keeps a descriptor from children. */
export function setCloexec(fd: number): void {
  const F_SETFD = 2;
  check(fcntlCall(fd, F_SETFD, 1), 'fcntl', String(fd));
}

/** Gives the file's first `size` bytes back to the disk; offsets stay, and read as zeros. False where it cannot. */
export function punch(fd: number, size: number): boolean {
  const KEEP_SIZE_PUNCH_HOLE = 3;
  return fallocateCall(fd, KEEP_SIZE_PUNCH_HOLE, 0, size) === 0;
}

/** How many bytes wait in a pipe (FIONREAD); 0 when that cannot be told. */
export function pendingBytes(fd: number): number {
  const FIONREAD = 0x541b;
  const count = new Int32Array(1);
  return ioctlCall(fd, FIONREAD, count) === -1 ? 0 : count[0]!;
}

/** A second descriptor of the same open file. */
export function duplicate(fd: number): number {
  const F_DUPFD_CLOEXEC = 1030;
  return check(fcntlCall(fd, F_DUPFD_CLOEXEC, 3), 'fcntl', String(fd));
}
