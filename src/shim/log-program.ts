import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { HakoError } from '#base/errors.ts';
import { closeFd, pipe } from '#sys/fd.ts';

/** A client's `binary://PATH?KEY=VALUE`: the program that takes a process's output. */
export interface LogProgramPlace {
  readonly kind: 'program';
  readonly path: string;
  readonly parameters: readonly string[];
}

/** How long a program may take to say that it is ready, in milliseconds. */
const patience = 30_000;
/** How long one may go on after all output has ended, in milliseconds; containerd's shims wait as long. */
const lingering = 12_000;

/** Reads the URI; of a key that comes twice the first value counts. */
export function logProgramOf(uri: string): LogProgramPlace {
  const { pathname, searchParams } = new URL(uri);
  const parameters = [...new Set(searchParams.keys())].flatMap((key) => [key, searchParams.get(key) ?? '']);
  return { kind: 'program', path: decodeURIComponent(pathname), parameters };
}

/** A program that runs beside a process and logs what it writes. It ends when its inputs do. */
export class LogProgram {
  readonly #child: ChildProcess;
  readonly #ends: Map<string, number>;

  private constructor(child: ChildProcess, ends: Map<string, number>) {
    this.#child = child;
    // Who waits for its start hears of it; later there is nothing to be done.
    child.on('error', () => {});
    this.#ends = ends;
  }

  /**
   * Starts it as containerd's shims do: the container's standard output and error are its descriptors 3 and 4, and what it
   * closes when it is ready, or writes to, is 5.
   */
  static async start(place: LogProgramPlace, owner: { id: string; namespace: string }): Promise<LogProgram> {
    const [out, err, ready] = [pipe(), pipe(), pipe()];
    const child = spawn(place.path, place.parameters, {
      cwd: '/',
      env: { PATH: process.env['PATH'] ?? '', CONTAINER_ID: owner.id, CONTAINER_NAMESPACE: owner.namespace },
      stdio: ['ignore', 'ignore', 'ignore', out.read, err.read, ready.write],
    });
    for (const fd of [out.read, err.read, ready.write]) closeFd(fd);
    const program = new LogProgram(
      child,
      new Map([
        ['stdout', out.write],
        ['stderr', err.write],
      ]),
    );
    const reader = new Socket({ fd: ready.read, readable: true, writable: false });
    try {
      await Promise.race([readable(reader), failure(child, place.path)]);
      return program;
    } catch (error) {
      program.close();
      child.kill('SIGKILL');
      throw error;
    } finally {
      reader.destroy();
    }
  }

  /** The end to write a stream to; it changes hands. */
  take(stream: string): number | undefined {
    const fd = this.#ends.get(stream);
    this.#ends.delete(stream);
    return fd;
  }

  /** Closes what nobody took, and lets the program take its time with the rest, but not for ever. */
  close(): void {
    for (const fd of this.#ends.values()) closeFd(fd);
    this.#ends.clear();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    setTimeout(() => this.#child.kill('SIGKILL'), lingering).unref();
  }
}

/** Resolves when something was said, or the other side was closed. */
async function readable(reader: Socket): Promise<void> {
  reader.resume();
  const signal = AbortSignal.timeout(patience);
  try {
    await Promise.race([once(reader, 'data', { signal }), once(reader, 'end', { signal })]);
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new HakoError('deadline-exceeded', `the logging binary is not ready after ${patience / 1000} seconds`, error);
  }
}

/** Rejects when the program cannot be started. */
async function failure(child: ChildProcess, path: string): Promise<never> {
  const [error] = (await once(child, 'error')) as [NodeJS.ErrnoException];
  const why = { ENOENT: 'no such file or directory', EACCES: 'permission denied' }[error.code ?? ''] ?? error.message;
  throw new HakoError(
    'unknown',
    `failed to create init process I/O: failed to start binary process: fork/exec ${path}: ${why}`,
    error,
  );
}
