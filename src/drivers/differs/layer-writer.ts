import { readSync } from 'node:fs';
import { HakoError } from '#base/errors.ts';
import {
  closeFd,
  failed,
  must,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  openAt,
  readlinkAt,
  textOf,
  type Moment,
} from '#sys/at.ts';
import {
  isDirectory,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFREG,
  statAt,
  typeOf,
  type FileStat,
} from '#sys/stat.ts';
import type { Change, Changes } from './compare.ts';
import { join } from './directories.ts';
import { keptXattrs } from './same.ts';
import { archiveEnd, entryHeader, paddingAfter, whiteoutHeader, type EntryHead } from './tar-entry.ts';

const letters: Readonly<Record<number, string>> = {
  [S_IFREG]: '0',
  [S_IFLNK]: '2',
  [S_IFCHR]: '3',
  [S_IFBLK]: '4',
  [S_IFDIR]: '5',
  [S_IFIFO]: '6',
};

export interface LayerWriterOptions {
  /** The right side, open. */
  readonly root: number;
  /** No time is later. */
  readonly latest: Moment | undefined;
  /** Takes the bytes of the archive; they are valid until it returns. */
  readonly out: (bytes: Buffer) => void;
  readonly check: () => void;
}

const pieceSize = 1024 * 1024;

/**
 * Writes differences as an archive: what OCI image-spec's layer.md says, and in its details (order, parents, hard links, times)
 * what containerd writes.
 */
export class LayerWriter implements Changes {
  readonly #options: LayerWriterOptions;
  readonly #buffer = Buffer.allocUnsafeSlow(pieceSize);
  /** Directories that are in the archive: one whose content changed is there too, though it has not changed itself. */
  readonly #directories = new Set<string>();
  /** Where the first name of a file with several is in the archive. */
  readonly #links = new Map<string, string>();
  /** Names of such files that have not changed: they go in when a new name of the file does. */
  readonly #waiting = new Map<string, string[]>();

  constructor(options: LayerWriterOptions) {
    this.#options = options;
  }

  removed(path: string): void {
    const slash = path.lastIndexOf('/');
    this.#parents(path);
    this.#options.out(whiteoutHeader(`${path.slice(0, slash + 1)}.wh.${path.slice(slash + 1)}`));
  }

  found(change: Change, path: string, holder: number, name: string, stat: FileStat): void {
    // Whoever unpacks it would take it for a deletion: no layer can hold such a name.
    if (name.startsWith('.wh.')) return;
    const shared = !isDirectory(stat) && stat.links > 1;
    if (!shared) {
      if (change !== 'unchanged') this.#entry(path, holder, name, stat);
      return;
    }
    const first = this.#links.get(stat.key);
    if (first !== undefined) {
      this.#link(path, first, holder, name, stat);
      return;
    }
    if (change === 'unchanged') {
      this.#waiting.set(stat.key, [...(this.#waiting.get(stat.key) ?? []), path]);
      return;
    }
    this.#links.set(stat.key, path);
    this.#entry(path, holder, name, stat);
    for (const other of this.#waiting.get(stat.key) ?? []) this.#link(other, path, holder, name, stat);
    this.#waiting.delete(stat.key);
  }

  finish(): void {
    this.#options.out(archiveEnd());
  }

  #entry(path: string, holder: number, name: string, stat: FileStat): void {
    this.#parents(path);
    if (isDirectory(stat)) this.#directories.add(path);
    const type = letters[typeOf(stat)];
    if (type === undefined) return;
    if (type === '0') {
      this.#file(path, holder, name, stat);
      return;
    }
    const linkName = type === '2' ? readlinkAt(holder, name) : '';
    if (typeof linkName === 'number') throw failed(linkName, 'readlink', textOf(path));
    const head = this.#head(path, holder, name, stat);
    this.#options.out(entryHeader({ ...head, type, name: type === '5' ? `${path}/` : path, linkName }));
  }

  #link(path: string, first: string, holder: number, name: string, stat: FileStat): void {
    this.#parents(path);
    this.#options.out(entryHeader({ ...this.#head(path, holder, name, stat), type: '1', linkName: first, size: 0 }));
  }

  #file(path: string, holder: number, name: string, stat: FileStat): void {
    const { out, check } = this.#options;
    const fd = must(openAt(holder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK), 'open', textOf(path));
    try {
      out(entryHeader(this.#head(path, holder, name, stat)));
      for (let done = 0; done < stat.size;) {
        check();
        const length = readSync(fd, this.#buffer, 0, Math.min(pieceSize, stat.size - done), done);
        if (length === 0)
          throw new HakoError('aborted', `"${textOf(path)}" became shorter while it was read: pause what writes to it`);
        out(this.#buffer.subarray(0, length));
        done += length;
      }
      const padding = paddingAfter(stat.size);
      if (padding > 0) out(Buffer.alloc(padding));
    } finally {
      closeFd(fd);
    }
  }

  #head(path: string, holder: number, name: string, stat: FileStat): EntryHead {
    const { latest } = this.#options;
    const { seconds, nanoseconds } = stat.mtime;
    const late =
      latest !== undefined &&
      (seconds > latest.seconds || (seconds === latest.seconds && nanoseconds > latest.nanoseconds));
    return {
      name: path,
      type: '0',
      linkName: '',
      mode: stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
      size: typeOf(stat) === S_IFREG ? stat.size : 0,
      mtime: late ? latest.seconds : seconds,
      major: stat.major,
      minor: stat.minor,
      xattrs: keptXattrs(holder, name),
    };
  }

  /** Puts the directories on the way into the archive, outermost first, unless they are there. */
  #parents(path: string): void {
    const slash = path.lastIndexOf('/');
    if (slash < 0) return;
    const parent = path.slice(0, slash);
    if (this.#directories.has(parent)) return;
    const before = parent.lastIndexOf('/');
    const name = parent.slice(before + 1);
    this.#within(parent.slice(0, Math.max(0, before)), (holder) => {
      const stat = statAt(holder, name);
      if (typeof stat === 'number') throw failed(stat, 'statx', textOf(parent));
      this.#entry(parent, holder, name, stat);
    });
  }

  /** Goes to a directory of the right side from its root. */
  #within(path: string, use: (directory: number) => void): void {
    let at = this.#options.root;
    const open: number[] = [];
    try {
      let gone = '';
      for (const name of path === '' ? [] : path.split('/')) {
        gone = join(gone, name);
        at = must(openAt(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), 'open', textOf(gone));
        open.push(at);
      }
      use(at);
    } finally {
      for (const fd of open) closeFd(fd);
    }
  }
}
