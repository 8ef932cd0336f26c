import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { HakoError } from '#base/errors.ts';
import { tryFlock } from '#sys/flock.ts';

/**
 * Makes sure that this is the only daemon on its directories, for as long as the process lives: makes them (0711: names
 * below are no secret to those who know them, lists are) and takes `root/lock` and `state/lock`. Throws
 * failed-precondition naming the process that holds one. The kernel frees the locks however the process ends.
 */
export function lockDirectories(config: { readonly root: string; readonly state: string }): Disposable {
  if (resolve(config.root) === resolve(config.state)) {
    const hint = 'give --root and --state directories of their own';
    throw new HakoError('failed-precondition', `root and state are one directory, "${config.root}": ${hint}`);
  }
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

const reasons: Readonly<Record<string, string>> = {
  EEXIST: 'a file is in its place, or in its path',
  EACCES: 'permission denied',
  EROFS: 'its file system is read-only',
  ENOSPC: 'no space is left',
  ENOENT: 'its file system takes none',
};

function makeDirectory(what: string, directory: string): void {
  try {
    makeWithParents(directory);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    const why = `cannot be made (${code}): ${reasons[code] ?? ''}`.replace(/: $/, '');
    throw new HakoError('failed-precondition', `${what} directory "${directory}": ${why}`, error);
  }
}

/** mkdir(2) from the top down. Node's own `recursive` goes round for ever below /proc, which answers ENOENT to all. */
function makeWithParents(directory: string): void {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true) return;
  const parent = dirname(directory);
  if (parent !== directory) makeWithParents(parent);
  try {
    mkdirSync(directory, { mode: 0o711 });
  } catch (error) {
    // Somebody was faster.
    if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) throw error;
  }
}
