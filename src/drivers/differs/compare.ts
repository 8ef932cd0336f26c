import { HakoError } from '#base/errors.ts';
import { AT_FDCWD, closeFd, ENOENT, failed, must, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openAt, textOf } from '#sys/at.ts';
import { namesIn } from '#sys/copy.ts';
import { isDirectory, isWhiteout, S_IFSOCK, statAt, typeOf, type FileStat } from '#sys/stat.ts';
import { listXattrs } from '#sys/xattr.ts';
import { join } from './directories.ts';
import { isDirectoryShown, isOpaque, ShownDirectory } from './lowers.ts';
import { isSame } from './same.ts';

/** What to compare. Paths are byte strings (see sys/at.ts). */
export type Trees =
  /** Two whole trees; undefined is an empty one. */
  | { readonly kind: 'whole'; readonly left: string | undefined; readonly right: string }
  /** An overlay, right, against its lower directories, left: only what the upper directory has can differ. */
  | { readonly kind: 'upper'; readonly lowers: readonly string[]; readonly upper: string; readonly userxattr: boolean };

/** `unchanged` is told of all the same: another name of the file may turn up that is new. */
export type Change = 'added' | 'changed' | 'unchanged';

/** Hears of the differences, each directory before what is in it, names in the order of their bytes. */
export interface Changes {
  removed(path: string): void;
  /** `holder` is the open directory of the right side that has `name`. */
  found(change: Change, path: string, holder: number, name: string, stat: FileStat): void;
}

/** Thrown when an upper directory says things that only overlayfs itself can work out (renamed directories, for one). */
export class NeedsMount extends HakoError {
  constructor(path: string, mark: string) {
    super('aborted', `"${textOf(path)}" bears "${mark}", which only a mounted overlay makes sense of`);
  }
}

/** Compares trees name by name, as containerd does: times of directories do not count, and sockets are not there. */
export class Comparison {
  readonly #trees: Trees;
  readonly #changes: Changes;
  readonly #check: () => void;
  /** What overlayfs calls its attributes in this upper directory. */
  readonly #marks: string;

  constructor(trees: Trees, changes: Changes, check: () => void) {
    this.#trees = trees;
    this.#changes = changes;
    this.#check = check;
    this.#marks = trees.kind === 'upper' && trees.userxattr ? 'user.overlay.' : 'trusted.overlay.';
  }

  /** `root` is the right side's, open. */
  run(root: number): void {
    const upper = this.#trees.kind === 'upper';
    const opaque = upper ? `${this.#marks}opaque` : undefined;
    const below =
      this.#trees.kind === 'upper' ? this.#trees.lowers : this.#trees.left === undefined ? [] : [this.#trees.left];
    using left = ShownDirectory.open(below, opaque);
    this.#directory(left, root, '', upper);
  }

  /** The right side of the trees, to open. */
  static rightOf(trees: Trees): number {
    const path = trees.kind === 'upper' ? trees.upper : trees.right;
    return must(openAt(AT_FDCWD, path, O_RDONLY | O_DIRECTORY), 'open', textOf(path));
  }

  /** `partial`: what the left side has shows through wherever the right one has nothing. */
  #directory(left: ShownDirectory | undefined, right: number, path: string, partial: boolean): void {
    const names = new Set(namesIn(right));
    if (!partial && left !== undefined) for (const name of left.names()) names.add(name);
    for (const name of [...names].toSorted()) {
      this.#check();
      this.#name(left, right, name, join(path, name), partial);
    }
  }

  #name(left: ShownDirectory | undefined, right: number, name: string, path: string, partial: boolean): void {
    const stat = statAt(right, name);
    if (typeof stat === 'number' && stat !== ENOENT) throw failed(stat, 'statx', textOf(path));
    const before = left?.find(name);
    const gone =
      typeof stat === 'number' || typeOf(stat) === S_IFSOCK || (this.#trees.kind === 'upper' && isWhiteout(stat));
    if (gone) {
      if (before !== undefined) this.#changes.removed(path);
      return;
    }
    if (this.#trees.kind === 'upper') this.#checkMarks(right, name, path);
    const same =
      before !== undefined && isSame(before, { stat, holder: right }, name, { readAll: partial, check: this.#check });
    this.#changes.found(before === undefined ? 'added' : same ? 'unchanged' : 'changed', path, right, name, stat);
    if (!isDirectory(stat)) return;
    using beneath = isDirectoryShown(before) ? left!.enter(name) : undefined;
    const shows = partial && beneath !== undefined && !isOpaque(right, name, `${this.#marks}opaque`);
    const fd = openAt(right, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd === ENOENT) return;
    must(fd, 'open', textOf(path));
    try {
      this.#directory(beneath, fd, path, shows);
    } finally {
      closeFd(fd);
    }
  }

  #checkMarks(right: number, name: string, path: string): void {
    for (const attribute of listXattrs(`/proc/self/fd/${right}/${name}`)) {
      if (!attribute.startsWith(this.#marks)) continue;
      const mark = attribute.slice(this.#marks.length);
      if (mark === 'redirect' || mark === 'metacopy' || mark === 'whiteout') throw new NeedsMount(path, attribute);
    }
  }
}
