import { Epoll, eventfd, inotify, inotifyAdd, inotifyRemove, inotifyWatches, EPOLLIN, IN_OPEN } from '#sys/epoll.ts';
import { readFd } from '#sys/fd.ts';

type Handler = (events: number) => void;

/** The loop of the pump's thread: it blocks in epoll_wait(2), which Node's own loop cannot be asked to do. */
export class Reactor {
  readonly #epoll = new Epoll();
  readonly #inotify = inotify();
  readonly #wake = eventfd();
  readonly #handlers = new Map<number, Handler>();
  /** Who waits for a FIFO to be opened: by watch, the descriptors and what to do. One path has one watch. */
  readonly #openers = new Map<number, Map<number, () => void>>();
  readonly #timers = new Map<() => void, number>();
  readonly #buffer = new Uint8Array(4096);
  readonly warn: (message: string) => void;
  #stopped = false;

  constructor(warn: (message: string) => void, onWake: () => void) {
    this.warn = warn;
    this.add(this.#wake, EPOLLIN, () => {
      readFd(this.#wake, this.#buffer);
      onWake();
    });
    this.add(this.#inotify, EPOLLIN, () => this.#onInotify());
  }

  /** Eight bytes written here wake the loop. */
  get wakeFd(): number {
    return this.#wake;
  }

  add(fd: number, events: number, handler: Handler): void {
    this.#epoll.add(fd, events, fd);
    this.#handlers.set(fd, handler);
  }

  remove(fd: number): void {
    this.#epoll.remove(fd);
    this.#handlers.delete(fd);
  }

  /** Calls back once, after so many milliseconds. Gives what takes it back. */
  later(milliseconds: number, callback: () => void): () => void {
    const timer = (): void => callback();
    this.#timers.set(timer, performance.now() + milliseconds);
    return () => void this.#timers.delete(timer);
  }

  /** Calls back once, when somebody opens the FIFO at `path`, or has since it was last looked at. `fd` is the caller's name. */
  onOpen(path: string, fd: number, callback: () => void): void {
    try {
      const watch = inotifyAdd(this.#inotify, path, IN_OPEN);
      const waiting = this.#openers.get(watch) ?? new Map<number, () => void>();
      waiting.set(fd, callback);
      this.#openers.set(watch, waiting);
    } catch {
      // The client has taken its FIFO away: nobody can open it any more.
    }
  }

  forgetOpen(fd: number): void {
    for (const [watch, waiting] of this.#openers) {
      if (!waiting.delete(fd) || waiting.size > 0) continue;
      this.#openers.delete(watch);
      inotifyRemove(this.#inotify, watch);
    }
  }

  #onInotify(): void {
    const length = readFd(this.#inotify, this.#buffer);
    if (typeof length === 'string') return;
    for (const watch of new Set(inotifyWatches(this.#buffer, length))) {
      const waiting = this.#openers.get(watch);
      if (waiting === undefined) continue;
      this.#openers.delete(watch);
      inotifyRemove(this.#inotify, watch);
      for (const callback of waiting.values()) callback();
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Runs until `stop`. */
  run(): void {
    while (!this.#stopped) {
      for (const { token, events } of this.#epoll.wait(this.#untilTimer())) this.#handlers.get(token)?.(events);
      const now = performance.now();
      for (const [timer, due] of this.#timers) {
        if (due > now || !this.#timers.delete(timer)) continue;
        timer();
      }
    }
  }

  #untilTimer(): number {
    if (this.#timers.size === 0) return -1;
    return Math.max(0, Math.ceil(Math.min(...this.#timers.values()) - performance.now()));
  }
}
