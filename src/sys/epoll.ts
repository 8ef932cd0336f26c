import { check, lastErrno, libc, SysError } from './libc.ts';

const createCall = libc('int epoll_create1(int flags)');
const controlCall = libc('int epoll_ctl(int epoll, int operation, int fd, void *event)');
const waitCall = libc('int epoll_wait(int epoll, void *events, int count, int timeout)');
const eventfdCall = libc('int eventfd(unsigned int initial, int flags)');
const inotifyCall = libc('int inotify_init1(int flags)');
const inotifyAddCall = libc('int inotify_add_watch(int fd, const char *path, uint32_t mask)');
const inotifyRemoveCall = libc('int inotify_rm_watch(int fd, int watch)');

export const EPOLLIN = 1;
export const EPOLLOUT = 4;
export const EPOLLERR = 8;
export const EPOLLHUP = 16;

const CLOEXEC = 0x80000;
const NONBLOCK = 0x800;
const most = 64;

/** struct epoll_event is packed on x86 alone (linux/eventpoll.h). */
const size = process.arch === 'x64' ? 12 : 16;
const dataAt = process.arch === 'x64' ? 4 : 8;

/** epoll(7), level-triggered. Tokens are small positive integers of the caller's. */
export class Epoll {
  readonly #fd = check(createCall(CLOEXEC), 'epoll_create1', 'epoll');
  readonly #event = new DataView(new ArrayBuffer(size));
  readonly #events = new DataView(new ArrayBuffer(size * most));

  add(fd: number, events: number, token: number): void {
    this.#control(1, fd, events, token);
  }

  modify(fd: number, events: number, token: number): void {
    this.#control(3, fd, events, token);
  }

  /** Idempotent: a descriptor that is not there is no error. */
  remove(fd: number): void {
    try {
      this.#control(2, fd, 0, 0);
    } catch (error) {
      if (!(error instanceof SysError) || !['ENOENT', 'EBADF'].includes(error.errno)) throw error;
    }
  }

  #control(operation: number, fd: number, events: number, token: number): void {
    this.#event.setUint32(0, events, true);
    this.#event.setUint32(dataAt, token, true);
    check(controlCall(this.#fd, operation, fd, new Uint8Array(this.#event.buffer)), 'epoll_ctl', String(fd));
  }

  /** Blocks the thread until something is ready, for `timeout` milliseconds at most (-1: for ever). */
  wait(timeout: number): { token: number; events: number }[] {
    const count = waitCall(this.#fd, new Uint8Array(this.#events.buffer), most, timeout);
    if (count === -1 && lastErrno() === 'EINTR') return [];
    check(count, 'epoll_wait', 'epoll');
    return Array.from({ length: count }, (_, i) => ({
      events: this.#events.getUint32(i * size, true),
      token: this.#events.getUint32(i * size + dataAt, true),
    }));
  }
}

/** A descriptor that another thread wakes an epoll with: eight bytes written make it readable. */
export function eventfd(): number {
  return check(eventfdCall(0, CLOEXEC | NONBLOCK), 'eventfd', 'eventfd');
}

export const IN_OPEN = 0x20;
export const inotify = (): number => check(inotifyCall(CLOEXEC | NONBLOCK), 'inotify_init1', 'inotify');
export const inotifyAdd = (fd: number, path: string, mask: number): number =>
  check(inotifyAddCall(fd, path, mask), 'inotify_add_watch', path);
export function inotifyRemove(fd: number, watch: number): void {
  inotifyRemoveCall(fd, watch);
}

/** The watches that a buffer read from an inotify descriptor speaks of (struct inotify_event). */
export function inotifyWatches(buffer: Uint8Array, length: number): number[] {
  const view = new DataView(buffer.buffer, buffer.byteOffset, length);
  const watches: number[] = [];
  for (let at = 0; at + 16 <= length; at += 16 + view.getUint32(at + 12, true)) watches.push(view.getInt32(at, true));
  return watches;
}
