import { fstatSync, watch, type FSWatcher } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { releaseRange, seekData, tryShareRange } from '#sys/range-lock.ts';

/** How much is read at once. */
const chunkSize = 64 * 1024;
/** How much may have been read before the lock on it is let go. */
const releaseStep = 256 * 1024;

/** What is followed, and whether all of it stays: a spool's writer gives back what nobody holds a lock on. */
export interface Followed {
  readonly path: string;
  readonly from: number | 'end';
  readonly kept: boolean;
}

/** A file that is open to be followed, until the signal at most. Its lock, if it has one, goes with it. */
class Followable {
  readonly #handle: FileHandle;
  readonly #kept: boolean;
  readonly #signal: AbortSignal;
  #position: number;
  #held: number;

  constructor(handle: FileHandle, kept: boolean, begin: number, signal: AbortSignal) {
    this.#handle = handle;
    this.#kept = kept;
    this.#signal = signal;
    this.#position = begin;
    this.#held = begin;
    // Also where nobody asks for the next byte, or ever asked for the first: a lock that stays would stop the container.
    if (signal.aborted) this.#onAbort();
    else signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  readonly #onAbort = (): void => void this.close();

  /** Opens it, or gives undefined while it is not there. */
  static async open({ path, from, kept }: Followed, signal: AbortSignal): Promise<Followable | undefined> {
    const handle = await openIfThere(path);
    if (handle === undefined) return undefined;
    try {
      const begin = kept ? beginOf(handle.fd, from) : await hold(handle.fd, from, signal);
      return new Followable(handle, kept, begin, signal);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** What comes next; nothing at the end of what there is, or once it is closed. */
  async read(): Promise<Uint8Array> {
    const { bytesRead, buffer } = await this.#handle.read({
      buffer: Buffer.allocUnsafe(chunkSize),
      position: this.#position,
    });
    // It closes with the signal, and its number may be another file's by now.
    if (this.#signal.aborted) return new Uint8Array();
    this.#position += bytesRead;
    const read = this.#position - this.#held;
    if (!this.#kept && (read >= releaseStep || (bytesRead === 0 && read > 0))) {
      releaseRange(this.#handle.fd, 0, this.#position);
      this.#held = this.#position;
    }
    return buffer.subarray(0, bytesRead);
  }

  async close(): Promise<void> {
    this.#signal.removeEventListener('abort', this.#onAbort);
    await this.#handle.close();
  }
}

const beginOf = (fd: number, from: number | 'end'): number => (from === 'end' ? fstatSync(fd).size : from);

/**
 * Keeps the writer of a spool from giving back what is still to be read: a shared lock on all from where reading begins,
 * however far the file grows. It is on the whole file at first, and only under it is it looked where to begin. So it
 * makes no difference when the file was opened: nothing is given back from then on, and what was before (the writer
 * leaves a hole, which reads as zeros) is left out. Gives where to begin.
 */
async function hold(fd: number, from: number | 'end', signal: AbortSignal): Promise<number> {
  // The writer claims a range only while it makes a hole, which takes microseconds.
  while (!signal.aborted && !tryShareRange(fd, 0, Infinity)) await sleep(1);
  const { size } = fstatSync(fd);
  const begin = from === 'end' ? size : (seekData(fd, from) ?? Math.max(from, size));
  if (begin > 0) releaseRange(fd, 0, begin);
  return begin;
}

async function openIfThere(file: string): Promise<FileHandle | undefined> {
  try {
    return await open(file, 'r');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** How long to sleep between two looks at a file that gives no events: splice(2) gave none before Linux 6.6. */
const shortestNap = 10;
const longestNap = 320;

/** The bytes of a growing file, see `Streams.follow` and `followSpool`. */
export async function followFile(
  what: Followed,
  finished: Promise<unknown>,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  return bytesOf(what, await Followable.open(what, signal), finished, signal);
}

async function* bytesOf(
  what: Followed,
  first: Followable | undefined,
  finished: Promise<unknown>,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  let file = first;
  let done = false;
  const bell = new Bell();
  const finish = (): void => {
    done = true;
    bell.ring();
  };
  finished.then(finish, finish);
  signal.addEventListener('abort', bell.ring, { once: true });
  let watcher: FSWatcher | undefined;
  let nap = shortestNap;
  try {
    while (!signal.aborted) {
      // Asked before reading: what was written before the end is then surely read.
      const last = done;
      // What comes only now is followed from its beginning, even where only what comes was asked for.
      file ??= await Followable.open(what.from === 'end' ? { ...what, from: 0 } : what, signal);
      if (file !== undefined && !signal.aborted) {
        watcher ??= watchFile(what.path, bell);
        const bytes = await file.read();
        if (bytes.length > 0) {
          nap = shortestNap;
          yield bytes;
          continue;
        }
      }
      if (last) return;
      await bell.wait(nap);
      nap = Math.min(nap * 2, longestNap);
    }
  } finally {
    signal.removeEventListener('abort', bell.ring);
    watcher?.close();
    await file?.close();
  }
}

/** undefined where inotify has no watch left; the naps then have to do. */
function watchFile(file: string, bell: Bell): FSWatcher | undefined {
  try {
    return watch(file, { persistent: false }, bell.ring).on('error', () => {});
  } catch {
    return undefined;
  }
}

/** Wakes one sleeper; a ring while nobody sleeps is kept for the next. */
class Bell {
  #rung = false;
  #wake: (() => void) | undefined;

  readonly ring = (): void => {
    this.#rung = true;
    this.#wake?.();
  };

  async wait(milliseconds: number): Promise<void> {
    if (!this.#rung) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = resolve;
      await promise;
      clearTimeout(timer);
      this.#wake = undefined;
    }
    this.#rung = false;
  }
}
