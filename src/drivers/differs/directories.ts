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
  utimesFd,
  type Moment,
} from '#sys/at.ts';
import { namesIn } from '#sys/copy.ts';
import { isDirectory, isWhiteout, statAt, type FileStat } from '#sys/stat.ts';
import { getXattr, setXattr } from '#sys/xattr.ts';

/** How the tree remembers deletions: overlayfs' marks, or by really deleting. */
export type Target =
  | {
      readonly kind: 'overlay';
      readonly upper: string;
      readonly lowers: readonly string[];
      /** What it is to lie upon is not known yet, so nothing is known not to show through. */
      readonly blind?: boolean;
      readonly userxattr: boolean;
    }
  | { readonly kind: 'plain'; readonly root: string };

/** A directory of the target, open. */
export interface Dir {
  readonly fd: number;
  readonly path: string;
  /** The lower directories that show through it, nearest first. */
  lowers: readonly string[];
}

/** What the lower directories have under a name. */
export interface Below {
  readonly stat: FileStat;
  /** The lower directory that holds it. */
  readonly holder: string;
  /** If it is a directory: all that merge under that name. */
  readonly directories: readonly string[];
}

const maxOpen = 512;

export const join = (directory: string, name: string): string => (directory === '' ? name : `${directory}/${name}`);
export const procPath = (directory: Dir, name: string): string => `/proc/self/fd/${directory.fd}/${name}`;
export const isOverlayMark = (name: string): boolean =>
  name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.');

/** The open directories of a target, and how the lower ones show through them. */
export class Directories {
  readonly root: Dir;
  readonly overlay: boolean;
  protected readonly blind: boolean;
  readonly #opaque: string;
  protected readonly check: () => void;
  readonly #open = new Map<string, Dir>();
  /** Times that directories get at the end, when nothing is put into them any more. */
  readonly #times = new Map<string, { readonly atime: Moment; readonly mtime: Moment }>();
  /** What this layer brought, where that decides what its whiteouts may delete. */
  protected readonly ours: Set<string> | undefined;

  constructor(target: Target, check: () => void) {
    const path = target.kind === 'overlay' ? target.upper : target.root;
    this.overlay = target.kind === 'overlay';
    this.blind = target.kind === 'overlay' && target.blind === true;
    this.#opaque = target.kind === 'overlay' && target.userxattr ? 'user.overlay.opaque' : 'trusted.overlay.opaque';
    this.check = check;
    // The path itself is the daemon's own and may hold links.
    const fd = must(openAt(AT_FDCWD, path, O_RDONLY | O_DIRECTORY), 'open', textOf(path));
    this.root = { fd, path: '', lowers: target.kind === 'overlay' ? target.lowers : [] };
    const below = this.root.lowers[0];
    const stat = below === undefined ? statAt(fd, '') : statAt(AT_FDCWD, below);
    const filled = target.kind === 'plain' && namesIn(fd).length > 0;
    if (typeof stat !== 'number' && (below !== undefined || filled)) this.keepTimes('', stat);
    this.ours = filled ? new Set() : undefined;
  }

  /** Closes what is open. */
  close(): void {
    this.#closeDirectories();
    closeFd(this.root.fd);
  }

  #closeDirectories(): void {
    for (const directory of this.#open.values()) closeFd(directory.fd);
    this.#open.clear();
  }

  /** Call between entries: directories that were handed out before may be closed now. */
  breathe(): void {
    if (this.#open.size > maxOpen) this.#closeDirectories();
  }

  keepTimes(path: string, times: { readonly atime: Moment; readonly mtime: Moment }): void {
    this.#times.set(path, { atime: times.atime, mtime: times.mtime });
  }

  /** Gives all directories their times. */
  finish(): void {
    for (const path of [...this.#times.keys()].toSorted()) {
      this.check();
      this.breathe();
      const { atime, mtime } = this.#times.get(path)!;
      const directory = this.real(path);
      if (directory !== undefined) must(utimesFd(directory.fd, atime, mtime), 'utimensat', textOf(path));
    }
  }

  /** A directory by its real path, which holds no links; undefined when it is gone. */
  protected real(path: string): Dir | undefined {
    let at = this.root;
    for (const name of path === '' ? [] : path.split('/')) {
      const next = this.openAt(at, name);
      if (next === undefined) return undefined;
      at = next;
    }
    return at;
  }

  protected openAt(directory: Dir, name: string): Dir | undefined {
    const path = join(directory.path, name);
    const open = this.#open.get(path);
    if (open !== undefined) return open;
    const fd = openAt(directory.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd === ENOENT || fd === ENOTDIR) return undefined;
    must(fd, 'open', textOf(path));
    const found: Dir = { fd, path, lowers: [] };
    this.#open.set(path, found);
    if (directory.lowers.length > 0 && !this.#isOpaque(procPath(directory, name))) {
      found.lowers = this.below(directory, name)?.directories ?? [];
    }
    if (this.ours !== undefined && !this.ours.has(path) && !this.#times.has(path)) {
      const stat = statAt(fd, '');
      if (typeof stat !== 'number') this.keepTimes(path, stat);
    }
    return found;
  }

  #isOpaque(path: string): boolean {
    return getXattr(path, this.#opaque)?.toString('latin1') === 'y';
  }

  /** What shows from below under a name; undefined when nothing does. */
  below(directory: Dir, name: string): Below | undefined {
    let first: Below | undefined;
    const directories: string[] = [];
    for (const holder of directory.lowers) {
      const stat = statAt(AT_FDCWD, `${holder}/${name}`);
      if (stat === ENOENT || stat === ENOTDIR) continue;
      if (typeof stat === 'number') throw failed(stat, 'statx', textOf(`${holder}/${name}`));
      if (isWhiteout(stat)) break;
      first ??= { stat, holder, directories };
      if (!isDirectory(stat)) break;
      directories.push(`${holder}/${name}`);
      if (this.#isOpaque(`${holder}/${name}`)) break;
    }
    return first;
  }

  protected setOpaque(directory: Dir, name: string): void {
    must(
      setXattr(procPath(directory, name), this.#opaque, Buffer.from('y')),
      'setxattr',
      textOf(join(directory.path, name)),
    );
  }

  /** Closes what is open at and below a path that is about to go. */
  protected forget(path: string): void {
    for (const [known, open] of this.#open) {
      if (known !== path && !known.startsWith(`${path}/`)) continue;
      closeFd(open.fd);
      this.#open.delete(known);
    }
    for (const known of this.#times.keys()) {
      if (known === path || known.startsWith(`${path}/`)) this.#times.delete(known);
    }
  }

  /** Lets nothing show through a directory any more. */
  protected hideBelow(directory: Dir, name: string): void {
    if (directory.lowers.length === 0 && !this.blind) return;
    this.setOpaque(directory, name);
    const prefix = `${join(directory.path, name)}/`;
    for (const [known, open] of this.#open) {
      if (`${known}/`.startsWith(prefix)) open.lowers = [];
    }
  }
}
