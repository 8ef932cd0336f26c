import { EPOLLIN, EPOLLOUT } from '#sys/epoll.ts';
import { closeFd, pendingBytes } from '#sys/fd.ts';
import { splice } from '#sys/splice.ts';
import type { InputPlan } from './messages.ts';
import type { Reactor } from './reactor.ts';

/** What is moved before other streams have their turn. */
const turn = 64 * 1024;

/** Moves what a client writes into a process's standard input. A client that leaves is no end: only `finish` is. */
export class Input {
  readonly #reactor: Reactor;
  readonly #from: number;
  readonly #to: number;
  readonly #onClosed: () => void;
  #watched: number | undefined;
  #finishing: (() => void)[] | undefined;
  #closed = false;

  constructor(reactor: Reactor, plan: InputPlan, onClosed: () => void) {
    this.#reactor = reactor;
    this.#from = plan.from;
    this.#to = plan.to;
    this.#onClosed = onClosed;
    this.#watch(this.#from, EPOLLIN);
  }

  #watch(fd: number, events: number): void {
    if (this.#watched === fd) return;
    if (this.#watched !== undefined) this.#reactor.remove(this.#watched);
    this.#watched = fd;
    this.#reactor.add(fd, events, () => this.#move());
  }

  #move(): void {
    let left = turn;
    while (!this.#closed && left > 0) {
      if (pendingBytes(this.#from) === 0) {
        if (this.#finishing !== undefined) return this.close();
        return this.#watch(this.#from, EPOLLIN);
      }
      const got = splice(this.#from, null, this.#to, null, left);
      if (got === 'EAGAIN') return this.#watch(this.#to, EPOLLOUT);
      // The process reads no more: close our side, so that the client learns of it.
      if (typeof got === 'string') return this.close();
      left -= got;
    }
  }

  /** Hands on what the client has written so far and then closes the process's input. */
  finish(done: () => void): void {
    if (this.#closed) return done();
    (this.#finishing ??= []).push(done);
    this.#move();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#watched !== undefined) this.#reactor.remove(this.#watched);
    closeFd(this.#from);
    closeFd(this.#to);
    this.#onClosed();
    for (const done of this.#finishing ?? []) done();
  }
}
