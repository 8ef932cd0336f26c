import { mkdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { HakoError, invalid } from '#base/errors.ts';
import { mountAll, unmountAll, type MountWords } from '#sys/mount.ts';

/** Mounts all of a snapshot's mounts on a directory, made where it is missing. */
export function mountOn(mounts: readonly MountWords[], target: string): void {
  mkdirSync(target, { recursive: true });
  if (!statSync(target).isDirectory()) throw invalid(`mount target "${target}" is no directory`);
  mountAll(mounts, target);
}

/** Unmounts all that is mounted on a directory. not-found when nothing is. */
export function unmountFrom(target: string): void {
  if (!isMounted(target)) throw new HakoError('not-found', `nothing is mounted on "${target}"`);
  unmountAll(target);
}

function isMounted(target: string): boolean {
  let real: string;
  try {
    real = realpathSync(target);
  } catch {
    return false;
  }
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '');
  return points.some((point) => unescape(point) === real);
}

/** proc(5): blanks and backslashes are written as three octal digits. */
const unescape = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
