import { HakoError, invalid } from '#base/errors.ts';
import {
  AT_FDCWD,
  chmodFd,
  chownFd,
  closeFd,
  EEXIST,
  ENOENT,
  failed,
  mkdirAt,
  mknodAt,
  must,
  O_DIRECTORY,
  O_RDONLY,
  openAt,
  readlinkAt,
  textOf,
} from '#sys/at.ts';
import { copyNode, copyXattrs, namesIn } from '#sys/copy.ts';
import { isDirectory, isWhiteout, S_IFCHR, S_IFLNK, statAt, typeOf, type FileStat } from '#sys/stat.ts';
import { removeAt } from '#sys/tree.ts';
import { Directories, isOverlayMark, join, procPath, type Dir } from './directories.ts';

/** As many as the kernel follows (path_resolution(7)). */
const maxLinks = 40;

/**
 * The tree a layer is unpacked into: either a plain directory, or the upper directory of an overlay, whose lower ones
 * are looked at but never written. Paths are byte strings without leading slash; '' is the root.
 *
 * Nothing leads outside: every step goes from an open directory to one name in it, opened with O_NOFOLLOW, and symbolic
 * links and `..` are followed here, where the root is the top. A name swapped underneath by someone else can
 * therefore at worst make a step fail.
 */
export class TargetTree extends Directories {
  /**
   * Goes to a directory, through links, making what is missing: as its like from below where there is one, else 0755
   * and root's. `..` and absolute links end at the root.
   */
  enter(parts: readonly string[], subject: string): Dir {
    let at = this.root;
    const rest = parts.toReversed();
    for (let links = 0; rest.length > 0;) {
      const name = rest.pop()!;
      if (name === '..') {
        at = this.real(at.path.slice(0, Math.max(0, at.path.lastIndexOf('/')))) ?? this.root;
        continue;
      }
      const open = this.openAt(at, name);
      const next = open ?? this.#make(at, name, subject);
      if (typeof next !== 'string') {
        at = next;
        continue;
      }
      if (++links > maxLinks) throw invalid(`"${subject}": too many symbolic links on the way`);
      if (next.startsWith('/')) at = this.root;
      rest.push(
        ...next
          .split('/')
          .filter((part) => part !== '' && part !== '.')
          .toReversed(),
      );
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
      if (!hidden && (this.overlay || this.ours?.has(path) !== false))
        throw invalid(`"${subject}" lies below "${textOf(path)}", which is no directory`);
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
    if (typeof target === 'number') throw failed(target, 'readlink', textOf(name));
    return target;
  }

  /** Makes a directory that is not there. `opaque`: nothing shows through from below. */
  makeDirectory(directory: Dir, name: string, opaque: boolean): Dir {
    const path = join(directory.path, name);
    must(mkdirAt(directory.fd, name, 0o755), 'mkdir', textOf(path));
    this.mark(path);
    if (opaque && (directory.lowers.length > 0 || this.blind)) this.setOpaque(directory, name);
    const made = this.openAt(directory, name);
    if (made === undefined) throw invalid(`"${textOf(path)}" vanished while it was made`);
    // Whatever the umask of the daemon is.
    must(chmodFd(made.fd, 0o755), 'chmod', textOf(path));
    return made;
  }

  /** A directory that the layer names itself: the one that is there, or a new one in the place of what is. */
  ensureDirectory(directory: Dir, name: string): Dir {
    const there = this.openAt(directory, name);
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
    this.ours?.add(path);
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
    if (typeof stat !== 'number' && isDirectory(stat)) this.forget(join(directory.path, name));
    removeAt(directory.fd, name, this.check);
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
    else if (isDirectory(stat)) this.hideBelow(directory, name);
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
      const parent = this.real(directory.path.slice(0, Math.max(0, slash)));
      if (parent !== undefined) this.hideBelow(parent, directory.path.slice(slash + 1));
    } else {
      if (this.blind)
        throw new HakoError(
          'failed-precondition',
          'the layer hides all below it, and what that will be is not known yet',
        );
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
    if (this.ours === undefined) return;
    const path = join(directory.path, name);
    if (!this.ours.has(path)) {
      if (!isDirectory(stat) || ![...this.ours].some((ours) => ours.startsWith(`${path}/`))) {
        this.remove(directory, name);
        return;
      }
    }
    if (!isDirectory(stat)) return;
    const inside = this.openAt(directory, name);
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
      copyNode({ directory: from, name }, below.stat, { directory: directory.fd, name }, this.check, isOverlayMark);
    } finally {
      closeFd(from);
    }
    return true;
  }
}
