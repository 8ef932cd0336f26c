import os from 'node:os';
import koffi from 'koffi';
import { HakoError } from '#base/errors.ts';

const self = koffi.load(null);

/**
 * Binds a function of the C library that this process already has loaded, from its C prototype, such as
 * `int mkfifo(const char *path, unsigned int mode)`. A call costs under a microsecond and blocks its thread.
 */
export function libc(prototype: string): (...args: unknown[]) => number {
  return self.func(prototype);
}

const names = new Map(Object.entries(os.constants.errno).map(([name, number]) => [number, name]));
// Two names share this number; callers ask for the one that manual pages use.
names.set(os.constants.errno.EAGAIN, 'EAGAIN');

/** A system call that failed. `errno` is its name (`ENOENT`); the code stays `unknown`: drivers give it meaning. */
export class SysError extends HakoError {
  readonly errno: string;

  constructor(call: string, number: number, subject: string) {
    const errno = names.get(number) ?? `errno ${number}`;
    super('unknown', `${call} "${subject}": ${errno}`);
    this.errno = errno;
  }
}

/**
 * Throws when a call gave -1. Call it in the very next expression: anything else may overwrite errno.
 * `const fd = check(open(path, flags), 'open', path)`.
 */
export function check(result: number | bigint, call: string, subject: string): number {
  const value = Number(result);
  if (value !== -1) return value;
  throw new SysError(call, koffi.errno(), subject);
}

/** The name of errno (`EAGAIN`) after a call that gave -1, for callers to whom failing is ordinary. Same rule: at once. */
export function lastErrno(): string {
  const number = koffi.errno();
  return names.get(number) ?? `errno ${number}`;
}

/** The negative errno of a call that gave -1, as at.ts has it. Same rule: at once. */
export const failedWith = (): number => -koffi.errno();
