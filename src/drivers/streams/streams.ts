import { closeSync, constants, openSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { Socket } from 'node:net';
import path from 'node:path';
import { HakoError } from '#base/errors.ts';
import type { StreamReader, Streams, StreamWriter } from '#core/streams.ts';
import { check, libc, SysError } from '#sys/libc.ts';
import { followFile } from './follow.ts';

const mkfifo = libc('int mkfifo(const char *path, unsigned int mode)');
const { O_RDONLY, O_RDWR, O_WRONLY, O_NONBLOCK } = constants;

/** FIFOs through libuv's pipes, which cost no thread, and growing files through inotify. */
export class StreamDriver implements Streams {
  async createFifo(fifo: string): Promise<void> {
    await mkdir(path.dirname(fifo), { recursive: true, mode: 0o711 });
    try {
      check(mkfifo(fifo, 0o600), 'mkfifo', fifo);
    } catch (error) {
      if (!(error instanceof SysError) || error.errno !== 'EEXIST') throw error;
    }
  }

  openWriter(fifo: string): StreamWriter {
    return new FifoWriter(fifo);
  }

  openReader(fifo: string): StreamReader {
    return new FifoReader(fifo);
  }

  async follow(
    file: string,
    offset: number | 'end',
    finished: Promise<unknown>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>> {
    return await followFile({ path: file, from: offset, kept: true }, finished, signal);
  }

  async followSpool(
    file: string,
    offset: number | 'end',
    finished: Promise<unknown>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>> {
    return await followFile({ path: file, from: offset, kept: false }, finished, signal);
  }
}

class FifoWriter implements StreamWriter {
  /** Both ways, so that opening never waits and early bytes wait in the pipe for the process. */
  #holder: number | undefined;
  readonly #socket: Socket;

  constructor(fifo: string) {
    this.#holder = openSync(fifo, O_RDWR | O_NONBLOCK);
    try {
      this.#socket = new Socket({ fd: openSync(fifo, O_WRONLY | O_NONBLOCK), readable: false, writable: true });
    } catch (error) {
      this.connected();
      throw error;
    }
    // Every write hears of it by itself.
    this.#socket.on('error', () => {});
  }

  write(data: Uint8Array): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#socket.write(data, (error) => {
      if (error === undefined || error === null) resolve();
      else reject(new HakoError('failed-precondition', 'the process no longer reads its standard input', error));
    });
    return promise;
  }

  connected(): void {
    if (this.#holder === undefined) return;
    closeSync(this.#holder);
    this.#holder = undefined;
  }

  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#socket.once('close', () => resolve());
    if (this.#socket.destroyed) resolve();
    else this.#socket.end(() => this.#socket.destroy());
    // A full pipe that nobody reads any more would keep the end waiting for ever.
    const timer = setTimeout(() => this.#socket.destroy(), 1000);
    await promise;
    clearTimeout(timer);
    this.connected();
  }
}

class FifoReader implements StreamReader {
  /** A writer of our own keeps the end from coming before the process has opened its side. */
  #keeper: number | undefined;
  readonly #socket: Socket;
  #discarding = false;
  readonly data: AsyncIterable<Uint8Array>;

  constructor(fifo: string) {
    const fd = openSync(fifo, O_RDONLY | O_NONBLOCK);
    this.#keeper = openSync(fifo, O_WRONLY | O_NONBLOCK);
    this.#socket = new Socket({ fd, readable: true, writable: false });
    this.#socket.on('error', () => {});
    this.data = this.#read();
  }

  /** By hand, since `for await` would close the pipe when its reader leaves. */
  async *#read(): AsyncIterable<Uint8Array> {
    while (!this.#discarding) {
      const chunk = this.#socket.read() as Uint8Array | null;
      if (chunk !== null) yield chunk;
      else if (this.#socket.readableEnded || this.#socket.destroyed) return;
      else await this.#news();
    }
  }

  #news(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const events = ['readable', 'end', 'close'] as const;
    const wake = (): void => {
      for (const event of events) this.#socket.off(event, wake);
      resolve();
    };
    for (const event of events) this.#socket.on(event, wake);
    return promise;
  }

  discard(): void {
    if (this.#discarding) return;
    this.#discarding = true;
    this.#socket.removeAllListeners('readable');
    this.#socket.resume();
  }

  connected(): void {
    if (this.#keeper === undefined) return;
    closeSync(this.#keeper);
    this.#keeper = undefined;
  }

  close(): void {
    this.connected();
    this.#socket.destroy();
  }
}
