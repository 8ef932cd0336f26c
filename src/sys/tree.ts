import {
  AT_FDCWD,
  AT_REMOVEDIR,
  closeFd,
  EISDIR,
  ENOENT,
  ENOTDIR,
  EPERM,
  failed,
  must,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openAt,
  textOf,
  unlinkAt,
} from './at.ts';
import { namesIn } from './copy.ts';
import { isDirectory, statAt, type FileStat } from './stat.ts';

/** What a tree takes on disk, as du(1) counts: blocks, and each file once however many names it has. */
export interface TreeWeight {
  readonly bytes: number;
  readonly inodes: number;
}

/** Weighs a tree (a byte string, see at.ts) without leaving it by links. What vanishes meanwhile is not counted. */
export function weighTree(path: string, check: () => void): TreeWeight {
  const seen = new Set<string>();
  let bytes = 0;
  let inodes = 0;
  const weigh = (directory: number, name: string): void => {
    const stat = statAt(directory, name);
    if (stat === ENOENT) return;
    if (typeof stat === 'number') throw failed(stat, 'statx', textOf(name));
    if (!isDirectory(stat) && stat.links > 1) {
      if (seen.has(stat.key)) return;
      seen.add(stat.key);
    }
    bytes += stat.blocks * 512;
    inodes += 1;
    if (!isDirectory(stat)) return;
    const fd = openAt(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd === ENOENT) return;
    must(fd, 'open', textOf(name));
    try {
      check();
      for (const child of namesIn(fd)) weigh(fd, child);
    } finally {
      closeFd(fd);
    }
  };
  weigh(AT_FDCWD, path);
  return { bytes, inodes };
}

/**
 * Weighs what a tree has that one beneath it, which it began as a copy of, has not: names that are new, and files that
 * differ by owner, mode, size or date.
 */
export function weighDifference(path: string, beneath: string, check: () => void): TreeWeight {
  const seen = new Set<string>();
  let bytes = 0;
  let inodes = 0;
  const count = (stat: FileStat): void => {
    if (seen.has(stat.key)) return;
    seen.add(stat.key);
    bytes += stat.blocks * 512;
    inodes += 1;
  };
  /** `below` is -1 where the directory itself is new. */
  const compare = (fd: number, below: number): void => {
    check();
    for (const name of namesIn(fd)) {
      const stat = statAt(fd, name);
      if (stat === ENOENT) continue;
      if (typeof stat === 'number') throw failed(stat, 'statx', textOf(name));
      const before = below === -1 ? undefined : statAt(below, name);
      const known = before === undefined || typeof before === 'number' ? undefined : before;
      if (known === undefined || !isSame(stat, known)) count(stat);
      if (!isDirectory(stat)) continue;
      within(fd, name, (child) => {
        if (known === undefined || !isDirectory(known)) compare(child, -1);
        else within(below, name, (childBelow) => compare(child, childBelow));
      });
    }
  };
  within(AT_FDCWD, path, (fd) => within(AT_FDCWD, beneath, (below) => compare(fd, below)));
  return { bytes, inodes };
}

const isSame = (one: FileStat, other: FileStat): boolean =>
  one.mode === other.mode &&
  one.uid === other.uid &&
  one.gid === other.gid &&
  // A directory's own size and date only tell that something within it came or went.
  (isDirectory(one) ||
    (one.size === other.size &&
      one.mtime.seconds === other.mtime.seconds &&
      one.mtime.nanoseconds === other.mtime.nanoseconds));

function within(directory: number, name: string, use: (fd: number) => void): void {
  const fd = openAt(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (fd === ENOENT) return;
  must(fd, 'open', textOf(name));
  try {
    use(fd);
  } finally {
    closeFd(fd);
  }
}

/** Empties an open directory. `keep` leaves names alone; gives whether all is gone. */
export function emptyDirectory(fd: number, check: () => void): void {
  for (const name of namesIn(fd)) removeAt(fd, name, check);
}

/**
 * Deletes one name, with all below it when it is a directory. No link is followed, and what is gone already is no error:
 * each step goes by an open directory, so a name swapped underneath leads nowhere.
 */
export function removeAt(directory: number, name: string, check: () => void): void {
  check();
  const unlinked = unlinkAt(directory, name);
  if (unlinked >= 0 || unlinked === ENOENT) return;
  // Linux says EISDIR, POSIX EPERM, and FUSE either.
  if (unlinked !== EISDIR && unlinked !== EPERM) must(unlinked, 'unlink', textOf(name));
  const fd = openAt(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (fd === ENOENT) return;
  // Not a directory after all: then the refusal to unlink is what to tell.
  if (fd === ENOTDIR) must(unlinked, 'unlink', textOf(name));
  must(fd, 'open', textOf(name));
  try {
    emptyDirectory(fd, check);
  } finally {
    closeFd(fd);
  }
  const removed = unlinkAt(directory, name, AT_REMOVEDIR);
  if (removed !== ENOENT) must(removed, 'rmdir', textOf(name));
}

/** Deletes the tree at a path (a byte string). Idempotent. */
export const removeTree = (path: string, check: () => void): void => removeAt(AT_FDCWD, path, check);
