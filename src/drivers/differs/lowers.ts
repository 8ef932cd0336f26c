import {
  AT_FDCWD,
  closeFd,
  ENOENT,
  ENOTDIR,
  failed,
  must,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openAt,
  textOf,
} from '#sys/at.ts';
import { namesIn } from '#sys/copy.ts';
import { isDirectory, isWhiteout, statAt, type FileStat } from '#sys/stat.ts';
import { getXattr } from '#sys/xattr.ts';

/** What a directory shows under a name. */
export interface Shown {
  readonly stat: FileStat;
  /** The open directory that holds it. */
  readonly holder: number;
}

/**
 * A directory to look at without changing it: one plain directory, or several that overlayfs would merge, nearest
 * first. Each step goes from an open directory to one name in it.
 */
export class ShownDirectory implements Disposable {
  readonly #directories: readonly number[];
  /** The attribute that makes a directory opaque, where overlayfs' marks count. */
  readonly #opaque: string | undefined;

  private constructor(directories: readonly number[], opaque: string | undefined) {
    this.#directories = directories;
    this.#opaque = opaque;
  }

  /** The paths are the daemon's own and may hold links. `opaque` is undefined for a plain tree. */
  static open(paths: readonly string[], opaque: string | undefined): ShownDirectory {
    const open: number[] = [];
    try {
      for (const path of paths) open.push(must(openAt(AT_FDCWD, path, O_RDONLY | O_DIRECTORY), 'open', textOf(path)));
    } catch (error) {
      for (const fd of open) closeFd(fd);
      throw error;
    }
    return new ShownDirectory(open, opaque);
  }

  find(name: string): Shown | undefined {
    for (const holder of this.#directories) {
      const stat = statAt(holder, name);
      if (stat === ENOENT || stat === ENOTDIR) continue;
      if (typeof stat === 'number') throw failed(stat, 'statx', textOf(name));
      return this.#opaque !== undefined && isWhiteout(stat) ? undefined : { stat, holder };
    }
    return undefined;
  }

  /** The directory of a name that `find` has shown to be one. */
  enter(name: string): ShownDirectory {
    const open: number[] = [];
    for (const holder of this.#directories) {
      const fd = openAt(holder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (fd === ENOENT) continue;
      // A file, a link or a whiteout ends what merges.
      if (fd < 0) break;
      open.push(fd);
      if (this.#opaque === undefined || isOpaque(holder, name, this.#opaque)) break;
    }
    return new ShownDirectory(open, this.#opaque);
  }

  names(): string[] {
    const names = new Set<string>();
    const hidden = new Set<string>();
    for (const fd of this.#directories) {
      const found = namesIn(fd);
      for (const name of found) if (!hidden.has(name)) names.add(name);
      if (this.#directories.length > 1) for (const name of found) hidden.add(name);
    }
    // A name may be a whiteout in the nearest directory that has it.
    return this.#opaque === undefined ? [...names] : [...names].filter((name) => this.find(name) !== undefined);
  }

  [Symbol.dispose](): void {
    for (const fd of this.#directories) closeFd(fd);
  }
}

/** Whether nothing shows through a directory from below. */
export const isOpaque = (holder: number, name: string, attribute: string): boolean =>
  getXattr(`/proc/self/fd/${holder}/${name}`, attribute)?.toString('latin1') === 'y';

export const isDirectoryShown = (shown: Shown | undefined): shown is Shown =>
  shown !== undefined && isDirectory(shown.stat);
