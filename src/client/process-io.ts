import { mkdtemp, mkdir, rm, rmdir, stat, unlink } from 'node:fs/promises';
import { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { codeOf, HakoError } from '#base/errors.ts';
import { closeFd, makeFifo, O_NONBLOCK, O_RDONLY, O_WRONLY, openFd, tryOpenFd } from '#sys/fd.ts';

/** Where the streams of a process are: paths of FIFOs, a log's URI, or nothing. */
export interface IoPaths {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
}

export const noIo: IoPaths = { stdin: '', stdout: '', stderr: '', terminal: false };

export interface FifoRequest {
  /** The directory for the FIFOs' own directory. Made when it is not there. */
  readonly directory: string;
  /** Begins the names of the FIFOs. */
  readonly id: string;
  /** A terminal has one output. */
  readonly terminal: boolean;
}

/** Makes the FIFOs of a new process, in a directory of their own. */
export async function makeFifos({ directory, id, terminal }: FifoRequest): Promise<IoPaths> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const own = await mkdtemp(join(directory, 'io-'));
  const paths = { stdin: '', stdout: '', stderr: '', terminal };
  try {
    for (const stream of ['stdin', 'stdout', ...(terminal ? [] : ['stderr'])] as const) {
      const path = join(own, `${id}-${stream}`);
      makeFifo(path, 0o700);
      paths[stream as 'stdin'] = path;
    }
    return paths;
  } catch (error) {
    await rm(own, { recursive: true, force: true });
    throw error;
  }
}

/** Removes FIFOs, and their directories when nothing else is in them. What is no FIFO stays. Idempotent. */
export async function removeFifos(paths: IoPaths): Promise<void> {
  const directories = new Set<string>();
  for (const path of [paths.stdin, paths.stdout, paths.stderr]) {
    if (!path.startsWith('/')) continue;
    const found = await stat(path).catch(() => undefined);
    if (found?.isFIFO() !== true) continue;
    await unlink(path).catch(() => {});
    directories.add(dirname(path));
  }
  for (const directory of directories) await rmdir(directory).catch(() => {});
}

export type Output = 'stdout' | 'stderr';

/**
 * Our ends of a process's FIFOs. The outputs are opened at once, without waiting for who writes, and read when someone
 * asks: no byte is lost however early it comes. The input is opened when its reader is there.
 */
export class ProcessIo implements Disposable {
  readonly paths: IoPaths;
  readonly #outputs = new Map<Output, number>();
  readonly #open: Socket[] = [];
  readonly #gone = new AbortController();

  constructor(paths: IoPaths) {
    this.paths = paths;
    try {
      for (const name of paths.terminal ? (['stdout'] as const) : (['stdout', 'stderr'] as const))
        if (paths[name].startsWith('/')) this.#outputs.set(name, openFd(paths[name], O_RDONLY | O_NONBLOCK));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** What the process writes there, until the last writer has gone; undefined for an output that is no FIFO. Once each. */
  read(name: Output): Readable | undefined {
    const fd = this.#outputs.get(name);
    if (fd === undefined) return undefined;
    this.#outputs.delete(name);
    const source = new Socket({ fd, readable: true, writable: false });
    this.#open.push(source);
    return source;
  }

  /** Copies `source` to the process until one of them ends. True when it was the source: the process may be told. */
  async feed(source: Readable): Promise<boolean> {
    if (!this.paths.stdin.startsWith('/')) return false;
    const fd = await openInput(this.paths.stdin, this.#gone.signal).catch((error: unknown) => {
      if (codeOf(error) === 'cancelled') return undefined;
      throw error;
    });
    if (fd === undefined) return false;
    const sink = new Socket({ fd, readable: false, writable: true });
    this.#open.push(sink);
    return copyInput(source, sink);
  }

  [Symbol.dispose](): void {
    this.#gone.abort();
    for (const fd of this.#outputs.values()) closeFd(fd);
    this.#outputs.clear();
    for (const socket of this.#open) socket.destroy();
  }
}

const longestPause = 50;

/** Opening a FIFO to write fails while nobody has it open to read (ENXIO, fifo(7)): ask again. */
async function openInput(path: string, signal: AbortSignal): Promise<number> {
  for (let pause = 1; ; pause = Math.min(pause * 2, longestPause)) {
    const fd = tryOpenFd(path, O_WRONLY | O_NONBLOCK);
    if (typeof fd === 'number') {
      if (!signal.aborted) return fd;
      closeFd(fd);
    } else if (fd !== 'ENXIO') {
      throw new HakoError('unknown', `open "${path}": ${fd}`);
    }
    await setTimeout(pause, undefined, { signal });
  }
}

/** By hand, not by pipeline(): our own standard input must outlive the process that read it. */
function copyInput(source: Readable, sink: Socket): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const onData = (chunk: Uint8Array): void => {
    if (sink.write(chunk)) return;
    source.pause();
    sink.once('drain', () => source.resume());
  };
  // The end is told after the last byte has gone into the FIFO.
  const onEnd = (): void => void sink.end(() => resolve(true));
  const stop = (): void => {
    source.off('data', onData).off('end', onEnd).off('error', onEnd);
    source.pause();
    resolve(false);
  };
  source.on('data', onData).on('end', onEnd).on('error', onEnd);
  // The process has closed its input, or has gone.
  sink.on('error', stop).on('close', stop);
  return promise;
}
