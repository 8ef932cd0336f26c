import { Socket } from 'node:net';
import { HakoError } from '#base/errors.ts';
import { closeFd, setCloexec } from '#sys/fd.ts';
import { parseExit, type ReapedProcess } from '#sys/exits.ts';
import { shimFds } from './keeper.ts';
import { onLines } from './lines.ts';

/** A descriptor that the keeper has too, so that it outlives this shim. */
export class HeldFd {
  readonly #link: KeeperLink;
  readonly #held: Promise<void>;
  readonly key: string;
  readonly fd: number;

  constructor(link: KeeperLink, key: string, fd: number, held: Promise<void>) {
    this.#link = link;
    this.#held = held;
    this.key = key;
    this.fd = fd;
  }

  /** Resolves when the keeper has it: until then the number must not be closed, or it could come to mean another file. */
  get held(): Promise<void> {
    return this.#held;
  }

  /** The keeper lets go. Our own copy is closed by whoever has it, or here with `close`. */
  drop(close: boolean): void {
    this.#link.drop(this.key);
    if (close) void this.#held.catch(() => {}).then(() => closeFd(this.fd));
  }
}

/** The shim's end of the line to its keeper. */
export class KeeperLink {
  readonly #socket: Socket;
  readonly #tickets = new Map<string, { resolve: () => void; reject: (error: unknown) => void }>();
  #next = 0;
  /** What the keeper held for the shim before: key to descriptor, ours since we were started with them. */
  readonly inherited: Promise<Map<string, number>>;
  onExit: (exit: ReapedProcess) => void = () => {};
  onLost: () => void = () => {};

  constructor() {
    const socket = new Socket({ fd: shimFds.link, readable: true, writable: true });
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<Map<string, number>>();
    this.inherited = promise;
    onLines(socket, (line) => this.#take(line, resolve));
    socket.on('error', () => {});
    socket.on('close', () => this.onLost());
  }

  #take(line: string, inherited: (held: Map<string, number>) => void): void {
    const [verb, first = '', second = '', ...rest] = line.split(' ');
    if (verb === 'exit') {
      const exit = parseExit(line.slice('exit '.length));
      if (exit !== undefined) this.onExit(exit);
    } else if (verb === 'holding') {
      const ticket = this.#tickets.get(first);
      this.#tickets.delete(first);
      if (second === 'ok') ticket?.resolve();
      else
        ticket?.reject(
          new HakoError('internal', `the keeper could not take a descriptor: ${[second, ...rest].join(' ')}`),
        );
    } else if (verb === 'held') {
      const keys = line
        .split(' ')
        .slice(1)
        .filter((key) => key !== '');
      const held = new Map(keys.map((key, i) => [key, shimFds.firstHeld + i]));
      for (const fd of held.values()) setCloexec(fd);
      inherited(held);
    }
  }

  /** Gives the keeper a copy of a descriptor under a key without spaces; an older one of that key is closed. */
  hold(key: string, fd: number): HeldFd {
    const ticket = String(this.#next++);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // Whoever needs to know waits for it; an unheld descriptor only costs something if this shim dies.
    promise.catch(() => {});
    this.#tickets.set(ticket, { resolve, reject });
    this.#socket.write(`hold ${ticket} ${fd} ${key}\n`);
    return new HeldFd(this, key, fd, promise);
  }

  /** A descriptor that was inherited, which the keeper still has. */
  adopt(key: string, fd: number): HeldFd {
    return new HeldFd(this, key, fd, Promise.resolve());
  }

  drop(key: string): void {
    this.#socket.write(`drop ${key}\n`);
  }

  /** So many exits are written down, or nobody's. */
  acknowledge(count: number): void {
    this.#socket.write(`ack ${count}\n`);
  }

  /** The shim serves. */
  ready(): void {
    this.#socket.write('ready\n');
  }

  /** The shim ends because nobody needs it. Resolves when the keeper has been told. */
  bye(): Promise<void> {
    return new Promise((resolve) => this.#socket.write('bye\n', () => resolve()));
  }
}
