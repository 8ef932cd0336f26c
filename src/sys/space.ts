import { readFileSync, statfsSync } from 'node:fs';
import { HakoError } from '#base/errors.ts';
import { errnoOf } from '#base/threads.ts';

/** The file system that holds a path: where it is mounted, its type and what is free on it. */
export interface FileSystem {
  readonly mountPoint: string;
  readonly type: string;
  /** What is mounted there: a device, or a word of the file system's own. */
  readonly source: string;
  readonly size: number;
  readonly free: number;
}

const unescape = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** From /proc/self/mountinfo (proc(5)); the deepest, latest mount point that `path` lies below. */
export function fileSystemOf(path: string): FileSystem {
  let mountPoint = '/';
  let type = 'unknown';
  let source = '';
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const fields = line.split(' ');
    const point = unescape(fields[4] ?? '');
    if (point === '' || (point !== '/' && path !== point && !path.startsWith(`${point}/`))) continue;
    if (point.length < mountPoint.length) continue;
    mountPoint = point;
    type = fields[fields.indexOf('-') + 1] ?? type;
    source = unescape(fields[fields.indexOf('-') + 2] ?? '');
  }
  const { blocks, bavail, bsize } = statfsSync(mountPoint);
  return { mountPoint, type, source, size: blocks * bsize, free: bavail * bsize };
}

const human = (bytes: number): string =>
  bytes >= 1 << 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`;

/**
 * Gives a full disk its meaning: an error with ENOSPC or EDQUOT becomes `resource-exhausted`, naming the file system
 * and what to do. Any other error comes back as it was.
 */
export function explainSpace(error: unknown, path: string, doing: string): unknown {
  const errno = errnoOf(error);
  if (errno !== 'ENOSPC' && errno !== 'EDQUOT') return error;
  const advice = "free some space there, or move the daemon's root directory to a larger file system";
  try {
    const { mountPoint, type, size, free } = fileSystemOf(path);
    const what = errno === 'EDQUOT' ? 'quota exceeded' : 'no space left';
    const inodes = errno === 'ENOSPC' && free > 1 << 20 ? ' (perhaps it is out of inodes)' : '';
    return new HakoError(
      'resource-exhausted',
      `${doing}: ${what} on the file system at "${mountPoint}" (${type}, ${human(size)}, ${human(free)} free)${inodes}: ${advice}`,
      error,
    );
  } catch {
    return new HakoError(
      'resource-exhausted',
      `${doing}: no space left on the file system of "${path}": ${advice}`,
      error,
    );
  }
}
