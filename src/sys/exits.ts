import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';

/** A process that has been reaped. Pid and start time (ticks since boot) name it for ever. */
export interface ReapedProcess {
  readonly pid: number;
  readonly startTime: number;
  /** Exit code, or 128 plus the signal. */
  readonly status: number;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** The form of an exit in the file and on the link. */
export const formatExit = (exit: ReapedProcess): string => `${exit.pid} ${exit.startTime} ${exit.status} ${exit.at}`;

/** undefined for a line that was torn. */
export function parseExit(line: string): ReapedProcess | undefined {
  const match = /^(\d+) (\d+) (\d+) (\d+)$/.exec(line);
  if (match === null) return undefined;
  return { pid: Number(match[1]), startTime: Number(match[2]), status: Number(match[3]), at: Number(match[4]) };
}

/** Emptied beyond this size, once every exit in it is known to the shim. */
const enough = 64 * 1024;

/** The file of all exits: written before a process is reaped, so that none is lost whoever dies. */
export class ExitsFile {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, 'a', 0o600);
  }

  append(exit: ReapedProcess): void {
    writeSync(this.#fd, `${formatExit(exit)}\n`);
  }

  /** Called when the shim has taken note of everything. */
  settled(): void {
    if (fstatSync(this.#fd).size > enough) ftruncateSync(this.#fd, 0);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

export function readExits(path: string): ReapedProcess[] {
  let text: string;
  try {
    text = readFileSync(path, 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return text
    .split('\n')
    .map(parseExit)
    .filter((exit) => exit !== undefined);
}
