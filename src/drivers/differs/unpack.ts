import { invalid } from '#base/errors.ts';
import {
  chmodAt,
  chmodFd,
  chownFd,
  closeFd,
  EINVAL,
  ENOENT,
  ENOTSUP,
  EPERM,
  lchownAt,
  linkAt,
  mknodAt,
  must,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
  openAt,
  symlinkAt,
  textOf,
  truncateFd,
  utimesAt,
  utimesFd,
  writeAll,
  type Moment,
} from '#sys/at.ts';
import { libc } from '#sys/libc.ts';
import { S_IFBLK, S_IFCHR, S_IFIFO } from '#sys/stat.ts';
import { inUserNamespace } from '#sys/userns.ts';
import { listXattrs, removeXattr, setXattr } from '#sys/xattr.ts';
import { isOverlayMark, procPath, type Dir } from './directories.ts';
import type { TargetTree } from './target.ts';
import type { Entry, TarReader } from './tar.ts';

const lseek = libc('long lseek(int fd, long offset, int whence)');

/** OCI image-spec, layer.md: a file of this prefix deletes the name after it; this name empties its directory. */
const whiteoutPrefix = '.wh.';
const opaqueName = '.wh..wh..opq';
/** What aufs kept for itself. */
const aufsPrefix = '.wh..wh.';

const maxPath = 4095;
const maxName = 255;
/** (uid_t)-1 means "leave it" to chown(2). */
const maxId = 0xffff_fffe;

/** The host's own business, or overlayfs': a layer does not set it. */
const isReserved = (name: string): boolean =>
  isOverlayMark(name) || name === 'security.selinux' || name === 'system.nfs4_acl';

/** A path's names from the root, `.` and `..` resolved as written and never above the root. */
function partsOf(path: string, what: string): string[] {
  if (path.length > maxPath) throw invalid(`${what} "${textOf(path.slice(0, 64))}…" is longer than ${maxPath} bytes`);
  if (path.includes('\0'))
    throw invalid(`${what} "${textOf(path.slice(0, 64)).replaceAll('\0', '\\0')}" holds a zero byte`);
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part.length > maxName)
      throw invalid(`${what} "${textOf(path.slice(0, 64))}…" has a name longer than ${maxName} bytes`);
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return parts;
}

/** Puts the entries of a layer into a tree, as OCI image-spec's layer.md says. */
export class Unpacker {
  readonly #tree: TargetTree;
  readonly #tar: TarReader;

  constructor(tree: TargetTree, tar: TarReader) {
    this.#tree = tree;
    this.#tar = tar;
  }

  run(check: () => void): void {
    for (let entry = this.#tar.next(); entry !== undefined; entry = this.#tar.next()) {
      check();
      this.#tree.breathe();
      this.#unpack(entry);
    }
    this.#tree.finish();
  }

  #unpack(entry: Entry): void {
    const parts = partsOf(entry.name, 'the path');
    const subject = parts.join('/');
    const name = parts.pop();
    if (entry.uid < 0 || entry.uid > maxId || entry.gid < 0 || entry.gid > maxId) {
      throw invalid(`"${textOf(subject)}": owner ${entry.uid}:${entry.gid} is out of range`);
    }
    if (name === undefined) {
      if (entry.type !== 'directory')
        throw invalid(`the root is a ${entry.type} in the archive, where only a directory can be`);
      this.#attributes(this.#tree.root.fd, '.', this.#tree.root, entry);
      this.#tree.keepTimes('', timesOf(entry));
      return;
    }
    const parent = this.#tree.enter(parts, textOf(subject));
    if (name === opaqueName) this.#tree.hideAll(parent);
    else if (name.startsWith(aufsPrefix)) return;
    else if (name.startsWith(whiteoutPrefix)) this.#whiteout(parent, name.slice(whiteoutPrefix.length), subject);
    else this.#put(entry, parent, name, subject);
  }

  #whiteout(parent: Dir, name: string, subject: string): void {
    if (name === '' || name === '.' || name === '..')
      throw invalid(`whiteout "${textOf(subject)}" names nothing that can be deleted`);
    this.#tree.whiteout(parent, name);
  }

  #put(entry: Entry, parent: Dir, name: string, subject: string): void {
    switch (entry.type) {
      case 'directory': {
        const made = this.#tree.ensureDirectory(parent, name);
        this.#attributes(made.fd, name, parent, entry);
        this.#tree.keepTimes(made.path, timesOf(entry));
        return;
      }
      case 'file':
        return this.#file(entry, parent, name, subject);
      case 'link':
        return this.#hardLink(entry, parent, name, subject);
      case 'symlink':
        this.#symlink(entry, parent, name, subject);
        return;
      default:
        this.#special(entry, parent, name, subject);
    }
  }

  #file(entry: Entry, parent: Dir, name: string, subject: string): void {
    const fd = this.#tree.place(parent, name, () =>
      openAt(parent.fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600),
    );
    try {
      if (entry.sparse !== undefined) this.#pieces(fd, entry, subject);
      else
        for (let piece = this.#tar.content(); piece !== undefined; piece = this.#tar.content())
          must(writeAll(fd, piece), 'write', textOf(subject));
      this.#attributes(fd, name, parent, entry);
      const { atime, mtime } = timesOf(entry);
      must(utimesFd(fd, atime, mtime), 'utimensat', textOf(subject));
    } finally {
      closeFd(fd);
    }
  }

  /** A file with holes: each piece goes to its own place. */
  #pieces(fd: number, { sparse }: Entry, subject: string): void {
    if (sparse === undefined) return;
    const queue = sparse.pieces.filter((piece) => piece.length > 0).toReversed();
    let room = 0;
    for (let content = this.#tar.content(); content !== undefined; content = this.#tar.content()) {
      for (let rest = content; rest.length > 0;) {
        if (room === 0) {
          const piece = queue.pop()!;
          must(Number(lseek(fd, piece.offset, 0)) === -1 ? EINVAL : 0, 'lseek', textOf(subject));
          room = piece.length;
        }
        const part = rest.subarray(0, room);
        must(writeAll(fd, part), 'write', textOf(subject));
        room -= part.length;
        rest = rest.subarray(part.length);
      }
    }
    must(truncateFd(fd, sparse.realSize), 'ftruncate', textOf(subject));
  }

  #hardLink(entry: Entry, parent: Dir, name: string, subject: string): void {
    const parts = partsOf(entry.linkName, `the target of hard link "${textOf(subject)}"`);
    const missing = (): Error =>
      invalid(`hard link "${textOf(subject)}" points at "${textOf(entry.linkName)}", where there is no file`);
    const targetName = parts.pop();
    if (targetName === undefined) throw missing();
    const target = this.#tree.enter(parts, textOf(entry.linkName));
    if (target.path === parent.path && targetName === name) {
      // A name for itself; to replace it would delete it.
      if (!this.#tree.copyUp(target, targetName)) throw missing();
      return;
    }
    if (!this.#tree.copyUp(target, targetName)) throw missing();
    const made = (): number => linkAt(target.fd, targetName, parent.fd, name);
    const result = made();
    if (result === ENOENT) throw missing();
    if (result < 0) this.#tree.place(parent, name, made);
    else this.#tree.mark(parent.path === '' ? name : `${parent.path}/${name}`);
  }

  #symlink(entry: Entry, parent: Dir, name: string, subject: string): void {
    if (entry.linkName === '' || entry.linkName.length > maxPath || entry.linkName.includes('\0')) {
      throw invalid(`symbolic link "${textOf(subject)}" has an empty, too long or malformed target`);
    }
    this.#tree.place(parent, name, () => symlinkAt(entry.linkName, parent.fd, name));
    must(lchownAt(parent.fd, name, entry.uid, entry.gid), 'chown', textOf(subject));
    this.#xattrs(name, parent, entry, false);
    const { atime, mtime } = timesOf(entry);
    must(utimesAt(parent.fd, name, atime, mtime), 'utimensat', textOf(subject));
  }

  #special(entry: Entry, parent: Dir, name: string, subject: string): void {
    const type = entry.type === 'character' ? S_IFCHR : entry.type === 'block' ? S_IFBLK : S_IFIFO;
    if (entry.major < 0 || entry.major > 0xfff || entry.minor < 0 || entry.minor > 0xf_ffff) {
      throw invalid(`"${textOf(subject)}": device ${entry.major}:${entry.minor} is out of range`);
    }
    let refused = false;
    this.#tree.place(parent, name, () => {
      const made = mknodAt(parent.fd, name, type | 0o600, entry.major, entry.minor);
      // In a user namespace there are no device nodes; the runtime brings those that containers need.
      refused = made === EPERM && type !== S_IFIFO && inUserNamespace();
      return refused ? 0 : made;
    });
    if (refused) return;
    must(lchownAt(parent.fd, name, entry.uid, entry.gid), 'chown', textOf(subject));
    must(chmodAt(parent.fd, name, entry.mode), 'chmod', textOf(subject));
    this.#xattrs(name, parent, entry, false);
    const { atime, mtime } = timesOf(entry);
    must(utimesAt(parent.fd, name, atime, mtime), 'utimensat', textOf(subject));
  }

  /** Owner first: chown(2) drops setuid bits and capabilities. */
  #attributes(fd: number, name: string, parent: Dir, entry: Entry): void {
    must(chownFd(fd, entry.uid, entry.gid), 'chown', textOf(entry.name));
    must(chmodFd(fd, entry.mode), 'chmod', textOf(entry.name));
    // Only a directory can have been there before, with attributes that this layer does not give it.
    this.#xattrs(name, parent, entry, entry.type === 'directory');
  }

  #xattrs(name: string, parent: Dir, entry: Entry, clear: boolean): void {
    if (clear) {
      for (const old of listXattrs(procPath(parent, name))) {
        if (!isReserved(old) && !old.startsWith('system.') && !entry.xattrs.has(old))
          removeXattr(procPath(parent, name), old);
      }
    }
    for (const [key, value] of entry.xattrs) {
      if (isReserved(key)) continue;
      const result = setXattr(procPath(parent, name), key, Buffer.from(value, 'latin1'));
      // File systems without them, and name spaces a rootless daemon may not write, lose them, as with containerd.
      if (result === ENOTSUP || (result === EPERM && (inUserNamespace() || key.startsWith('user.')))) continue;
      must(result, `setxattr ${textOf(key)}`, textOf(entry.name));
    }
  }
}

/** A time of access is rarely in a layer, and never before the change. */
function timesOf({ atime, mtime }: Entry): { atime: Moment; mtime: Moment } {
  const later =
    atime !== undefined &&
    (atime.seconds > mtime.seconds || (atime.seconds === mtime.seconds && atime.nanoseconds > mtime.nanoseconds));
  return { atime: later ? atime : mtime, mtime };
}
