import { invalid } from '#base/errors.ts';
import {
  AT_FDCWD, chmodFd, chownFd, closeFd, EEXIST, ENOENT, ENOTDIR, mkdirAt, mknodAt, must, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openAt,
  readlinkAt, textOf, utimesFd, type Moment,
} from '#sys/at.ts';
import { copyNode, copyXattrs, namesIn } from '#sys/copy.ts';
import { isDirectory, isWhiteout, S_IFCHR, S_IFLNK, statAt, typeOf, type FileStat } from '#sys/stat.ts';
import { removeAt } from '#sys/tree.ts';
import { getXattr, setXattr } from '#sys/xattr.ts';

/**
 * The tree a layer is unpacked into: either a plain directory, or the upper directory of an overlay, whose lower ones
 * are looked at but never written. Paths are byte strings without leading slash; '' is the root.
 *
 * Nothing leads outside: every step goes from an open directory to one name in it, opened with O_NOFOLLOW, and symbolic
 * links and `..` are followed here, where the root is the top. A name swapped underneath by someone else can
 * therefore at worst make a step fail.
 */

/** How the tree remembers deletions: overlayfs' marks, or by really deleting. */
export type Target =
  | { readonly kind: 'overlay'; readonly upper: string; readonly lowers: readonly string[]; readonly userxattr: boolean }
  | { readonly kind: 'plain'; readonly root: string };

/** A directory of the target, open. */
export interface Dir {
  readonly fd: number;
  readonly path: string;
  /** The lower directories that show through it, nearest first. */
  lowers: readonly string[];
}

/** What the lower directories have under a name. */
interface Below {
  readonly stat: FileStat;
  /** The lower directory that holds it. */
  readonly holder: string;
  /** If it is a directory: all that merge under that name. */
  readonly directories: readonly string[];
}

const maxOpen = 512;
/** As many as the kernel follows (path_resolution(7)). */
const maxLinks = 40;

const join = (directory: string, name: string): string => (directory === '' ? name : `${directory}/${name}`);
export const procPath = (directory: Dir, name: string): string => `/proc/self/fd/${directory.fd}/${name}`;
export const isOverlayMark = (name: string): boolean => name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.');

export class TargetTree {
  readonly root: Dir;
  readonly overlay: boolean;
  readonly #opaque: string;
  readonly #check: () => void;
  readonly #open = new Map<string, Dir>();
  /** Times that directories get at the end, when nothing is put into them any more. */
  readonly #times = new Map<string, { readonly atime: Moment; readonly mtime: Moment }>();
  /** What this layer brought, where that decides what its whiteouts may delete. */
  readonly #ours: Set<string> | undefined;

  constructor(target: Target, check: () => void) {
    const path = target.kind === 'overlay' ? target.upper : target.root;
    this.overlay = target.kind === 'overlay';
    this.#opaque = target.kind === 'overlay' && target.userxattr ? 'user.overlay.opaque' : 'trusted.overlay.opaque';
    this.#check = check;
    // The path itself is the daemon's own and may hold links.
    const fd = must(openAt(AT_FDCWD, path, O_RDONLY | O_DIRECTORY), 'open', textOf(path));
    this.root = { fd, path: '', lowers: target.kind === 'overlay' ? target.lowers : [] };
    const below = this.root.lowers[0];
    const stat = below === undefined ? statAt(fd, '') : statAt(AT_FDCWD, below);
    const filled = target.kind === 'plain' && namesIn(fd).length > 0;
    if (typeof stat !== 'number' && (below !== undefined || filled)) this.keepTimes('', stat);
    this.#ours = filled ? new Set() : undefined;
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
      this.#check();
      this.breathe();
      const { atime, mtime } = this.#times.get(path)!;
      const directory = this.#real(path);
      if (directory !== undefined) must(utimesFd(directory.fd, atime, mtime), 'utimensat', textOf(path));
    }
  }

  /** A directory by its real path, which holds no links; undefined when it is gone. */
  #real(path: string): Dir | undefined {
    let at = this.root;
    for (const name of path === '' ? [] : path.split('/')) {
      const next = this.#openAt(at, name);
      if (next === undefined) return undefined;
      at = next;
    }
    return at;
  }

  #openAt(directory: Dir, name: string): Dir | undefined {
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
    if (this.#ours !== undefined && !this.#ours.has(path) && !this.#times.has(path)) {
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
      if (typeof stat === 'number') throw must(stat, 'statx', textOf(`${holder}/${name}`));
      if (isWhiteout(stat)) break;
      first ??= { stat, holder, directories };
      if (!isDirectory(stat)) break;
      directories.push(`${holder}/${name}`);
      if (this.#isOpaque(`${holder}/${name}`)) break;
    }
    return first;
  }

  /**
   * Goes to a directory, through links, making what is missing: as its like from below where there is one, else 0755
   * and root's. `..` and absolute links end at the root.
   */
  enter(parts: readonly string[], subject: string): Dir {
    let at = this.root;
    const rest = parts.toReversed();
    for (let links = 0; rest.length > 0; ) {
      const name = rest.pop()!;
      if (name === '..') {
        at = this.#real(at.path.slice(0, Math.max(0, at.path.lastIndexOf('/')))) ?? this.root;
        continue;
      }
      const open = this.#openAt(at, name);
      const next = open ?? this.#make(at, name, subject);
      if (typeof next !== 'string') {
        at = next;
        continue;
      }
      if (++links > maxLinks) throw invalid(`"${subject}": too many symbolic links on the way`);
      if (next.startsWith('/')) at = this.root;
      rest.push(...next.split('/').filter((part) => part !== '' && part !== '.').toReversed());
    }
    return at;
  }

  /** Makes a directory that the layer takes for granted, or gives the target of the link that is there instead. */
  #make(directory: Dir, name: string, subject: string): Dir | string {
    const path = join(directory.path, name);
    const stat = statAt(directory.fd, name);
    if (typeof stat !== 'number') {
      if (typeOf(stat) === S_IFLNK) return this.#link(directory.fd, name);
      const hidden = this.overlay && isWhiteout(stat);
      if (!hidden && (this.overlay || this.#ours?.has(path) !== false)) throw invalid(`"${subject}" lies below "${textOf(path)}", which is no directory`);
      this.remove(directory, name);
      return this.makeDirectory(directory, name, hidden);
    }
    if (stat !== ENOENT) must(stat, 'statx', textOf(path));
    const below = this.below(directory, name);
    if (below !== undefined && typeOf(below.stat) === S_IFLNK) return this.#link(AT_FDCWD, `${below.holder}/${name}`);
    const made = this.makeDirectory(directory, name, false);
    if (below !== undefined && isDirectory(below.stat)) {
      must(chownFd(made.fd, below.stat.uid, below.stat.gid), 'chown', textOf(path));
      must(chmodFd(made.fd, below.stat.mode & 0o7777), 'chmod', textOf(path));
      copyXattrs(`${below.holder}/${name}`, procPath(directory, name), isOverlayMark);
      this.keepTimes(path, below.stat);
    }
    return made;
  }

  #link(directory: number, name: string): string {
    const target = readlinkAt(directory, name);
    if (typeof target === 'number') throw must(target, 'readlink', textOf(name));
    return target;
  }

  /** Makes a directory that is not there. `opaque`: nothing shows through from below. */
  makeDirectory(directory: Dir, name: string, opaque: boolean): Dir {
    const path = join(directory.path, name);
    must(mkdirAt(directory.fd, name, 0o755), 'mkdir', textOf(path));
    this.mark(path);
    if (opaque && directory.lowers.length > 0) this.#setOpaque(directory, name);
    const made = this.#openAt(directory, name);
    if (made === undefined) throw invalid(`"${textOf(path)}" vanished while it was made`);
    // Whatever the umask of the daemon is.
    must(chmodFd(made.fd, 0o755), 'chmod', textOf(path));
    return made;
  }

  #setOpaque(directory: Dir, name: string): void {
    must(setXattr(procPath(directory, name), this.#opaque, Buffer.from('y')), 'setxattr', textOf(join(directory.path, name)));
  }

  /** A directory that the layer names itself: the one that is there, or a new one in the place of what is. */
  ensureDirectory(directory: Dir, name: string): Dir {
    const there = this.#openAt(directory, name);
    if (there !== undefined) {
      this.mark(there.path);
      return there;
    }
    const stat = statAt(directory.fd, name);
    const replaced = typeof stat !== 'number';
    if (replaced) this.remove(directory, name);
    // A directory in the place of a deletion, or of anything else, does not bring back what was deleted.
    return this.makeDirectory(directory, name, replaced);
  }

  /** Remembers that this layer brought a path. */
  mark(path: string): void {
    this.#ours?.add(path);
  }

  /** Makes a name with `make`, which gives EEXIST while something is there: that is removed then. */
  place(directory: Dir, name: string, make: () => number): number {
    let made = make();
    if (made === EEXIST) {
      this.remove(directory, name);
      made = make();
    }
    const path = join(directory.path, name);
    must(made, 'create', textOf(path));
    this.mark(path);
    return made;
  }

  /** Deletes a name of the target, with all below it. */
  remove(directory: Dir, name: string): void {
    const stat = statAt(directory.fd, name);
    if (typeof stat !== 'number' && isDirectory(stat)) this.#forget(join(directory.path, name));
    removeAt(directory.fd, name, this.#check);
  }

  #forget(path: string): void {
    for (const [known, open] of this.#open) {
      if (known !== path && !known.startsWith(`${path}/`)) continue;
      closeFd(open.fd);
      this.#open.delete(known);
    }
    for (const known of this.#times.keys()) {
      if (known === path || known.startsWith(`${path}/`)) this.#times.delete(known);
    }
  }

  /** A whiteout: what is below under this name is gone. What this layer brought itself stays (layer.md). */
  whiteout(directory: Dir, name: string): void {
    const path = join(directory.path, name);
    const stat = statAt(directory.fd, name);
    if (!this.overlay) {
      if (typeof stat !== 'number') this.#removeOthers(directory, name, stat);
      return;
    }
    if (stat === ENOENT) must(mknodAt(directory.fd, name, S_IFCHR, 0, 0), 'mknod whiteout', textOf(path));
    else if (typeof stat === 'number') must(stat, 'statx', textOf(path));
    else if (isDirectory(stat)) this.#hideBelow(directory, name);
  }

  #hideBelow(directory: Dir, name: string): void {
    if (directory.lowers.length === 0) return;
    this.#setOpaque(directory, name);
    const prefix = `${join(directory.path, name)}/`;
    for (const [known, open] of this.#open) {
      if (`${known}/`.startsWith(prefix)) open.lowers = [];
    }
  }

  /** An opaque whiteout: all that shows from below in this directory is gone. */
  hideAll(directory: Dir): void {
    if (!this.overlay) {
      for (const name of namesIn(directory.fd)) {
        const stat = statAt(directory.fd, name);
        if (typeof stat !== 'number') this.#removeOthers(directory, name, stat);
      }
    } else if (directory.path !== '') {
      const slash = directory.path.lastIndexOf('/');
      const parent = this.#real(directory.path.slice(0, Math.max(0, slash)));
      if (parent !== undefined) this.#hideBelow(parent, directory.path.slice(slash + 1));
    } else {
      // overlayfs always merges its roots, so there each name is hidden by itself.
      for (const lower of directory.lowers) {
        const fd = must(openAt(AT_FDCWD, lower, O_RDONLY | O_DIRECTORY), 'open', textOf(lower));
        try {
          for (const name of namesIn(fd)) this.whiteout(directory, name);
        } finally {
          closeFd(fd);
        }
      }
    }
  }

  #removeOthers(directory: Dir, name: string, stat: FileStat): void {
    // In a tree that was empty at first, everything is this layer's.
    if (this.#ours === undefined) return;
    const path = join(directory.path, name);
    if (!this.#ours.has(path)) {
      if (!isDirectory(stat) || ![...this.#ours].some((ours) => ours.startsWith(`${path}/`))) {
        this.remove(directory, name);
        return;
      }
    }
    if (!isDirectory(stat)) return;
    const inside = this.#openAt(directory, name);
    if (inside === undefined) return;
    for (const child of namesIn(inside.fd)) {
      const childStat = statAt(inside.fd, child);
      if (typeof childStat !== 'number') this.#removeOthers(inside, child, childStat);
    }
  }

  /**
   * Makes sure that a name is in the target itself, copying it up from below if need be: a hard link cannot lead from
   * one file system tree into another. False when there is no such file.
   */
  copyUp(directory: Dir, name: string): boolean {
    const stat = statAt(directory.fd, name);
    if (typeof stat !== 'number') return !(this.overlay && isWhiteout(stat)) && !isDirectory(stat);
    const below = this.below(directory, name);
    if (below === undefined || isDirectory(below.stat)) return false;
    const from = must(openAt(AT_FDCWD, below.holder, O_RDONLY | O_DIRECTORY), 'open', textOf(below.holder));
    try {
      copyNode({ directory: from, name }, below.stat, { directory: directory.fd, name }, this.#check, isOverlayMark);
    } finally {
      closeFd(from);
    }
    return true;
  }
}
