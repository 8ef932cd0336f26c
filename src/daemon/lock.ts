import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HakoError } from '#base/errors.ts';
import { tryFlock } from '#sys/flock.ts';

/**
 * Makes sure that this is the only daemon on its directories, for as long as the process lives: makes them (0711: names
 * below are no secret to those who know them, lists are) and takes `root/lock` and `state/lock`. Throws
 * failed-precondition naming the process that holds one. The kernel frees the locks however the process ends.
 */
export function lockDirectories(config: { readonly root: string; readonly state: string }): Disposable {
  const stack = new DisposableStack();
  try {
    for (const [what, directory] of [
      ['root', config.root],
      ['state', config.state],
    ] as const) {
      stack.use(lockDirectory(what, directory));
    }
    return stack.move();
  } finally {
    stack.dispose();
  }
}

function lockDirectory(what: string, directory: string): Disposable {
  makeDirectory(what, directory);
  const file = join(directory, 'lock');
  const lock = tryFlock(file);
  if (lock === undefined) {
    const pid = readFileSync(file, 'utf8').trim().slice(0, 20);
    const holder = /^\d+$/.test(pid) ? `pid ${pid}` : 'another process';
    throw new HakoError(
      'failed-precondition',
      `${what} directory "${directory}": another hakod (${holder}) is using it: stop that one or give --${what} another directory`,
    );
  }
  writeFileSync(file, `${process.pid}\n`);
  return lock;
}

function makeDirectory(what: string, directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o711 });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new HakoError('failed-precondition', `${what} directory "${directory}": cannot be made (${code})`, error);
  }
}
