import { readSync } from 'node:fs';
import { closeFd, failed, must, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, openAt, readlinkAt, textOf } from '#sys/at.ts';
import { isDirectory, S_IFLNK, S_IFREG, typeOf } from '#sys/stat.ts';
import { getXattr, listXattrs } from '#sys/xattr.ts';
import type { Shown } from './lowers.ts';

export interface SameOptions {
  /** Reads what containerd takes for the same by its time alone: where few files are looked at, it costs little. */
  readonly readAll: boolean;
  readonly check: () => void;
}

/** Attributes that a layer keeps: capabilities and the user's own, but not overlayfs' among them. */
const isKept = (name: string): boolean =>
  name === 'security.capability' ||
  // A PAX record cannot have such a name.
  (name.startsWith('user.') && !name.startsWith('user.overlay.') && !name.includes('='));

/** The attributes of a name that a layer keeps, the values as byte strings. */
export function keptXattrs(holder: number, name: string): ReadonlyMap<string, string> {
  const path = `/proc/self/fd/${holder}/${name}`;
  const kept = new Map<string, string>();
  for (const key of listXattrs(path).toSorted()) {
    const value = isKept(key) ? getXattr(path, key) : undefined;
    if (value !== undefined) kept.set(key, value.toString('latin1'));
  }
  return kept;
}

/** Whether a name is the same file on both sides, as containerd judges; times of directories do not count. */
export function isSame(left: Shown, right: Shown, name: string, options: SameOptions): boolean {
  const [a, b] = [left.stat, right.stat];
  if (a.key === b.key) return true;
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid || a.major !== b.major || a.minor !== b.minor)
    return false;
  if (!sameXattrs(left, right, name)) return false;
  if (isDirectory(a)) return true;
  if (a.size !== b.size || a.mtime.seconds !== b.mtime.seconds || a.mtime.nanoseconds !== b.mtime.nanoseconds)
    return false;
  // A time of whole seconds may have been cut by an archive, so that it says little.
  if (a.mtime.nanoseconds !== 0 && !options.readAll) return true;
  if (typeOf(a) === S_IFLNK) return linkTarget(left, name) === linkTarget(right, name);
  return typeOf(a) !== S_IFREG || a.size === 0 || sameContent(left, right, name, options.check);
}

function sameXattrs(left: Shown, right: Shown, name: string): boolean {
  const [a, b] = [keptXattrs(left.holder, name), keptXattrs(right.holder, name)];
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}

function linkTarget({ holder }: Shown, name: string): string {
  const target = readlinkAt(holder, name);
  if (typeof target === 'number') throw failed(target, 'readlink', textOf(name));
  return target;
}

const pieceSize = 256 * 1024;
const buffers = [Buffer.allocUnsafeSlow(pieceSize), Buffer.allocUnsafeSlow(pieceSize)] as const;

function sameContent(left: Shown, right: Shown, name: string, check: () => void): boolean {
  const open = (shown: Shown): number =>
    must(openAt(shown.holder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK), 'open', textOf(name));
  const a = open(left);
  try {
    const b = open(right);
    try {
      for (let at = 0; at < left.stat.size;) {
        check();
        const length = readFully(a, buffers[0], at);
        if (readFully(b, buffers[1], at) !== length) return false;
        if (!buffers[0].subarray(0, length).equals(buffers[1].subarray(0, length))) return false;
        if (length === 0) return true;
        at += length;
      }
      return true;
    } finally {
      closeFd(b);
    }
  } finally {
    closeFd(a);
  }
}

function readFully(fd: number, buffer: Buffer, at: number): number {
  let done = 0;
  while (done < buffer.length) {
    const length = readSync(fd, buffer, done, buffer.length - done, at + done);
    if (length === 0) break;
    done += length;
  }
  return done;
}
