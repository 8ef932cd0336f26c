import { HakoError, invalid } from '#base/errors.ts';
import { closeFd } from './fd.ts';
import { mountIdMapped, takeIdMaps } from './idmap.ts';
import { check, libc, SysError } from './libc.ts';
import { attachLoop } from './loop.ts';
import { openWithin, RESOLVE_IN_ROOT } from './openat2.ts';

const mountCall = libc(
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
);
const umountCall = libc('int umount2(const char *target, int flags)');
const openCall = libc('int open(const char *path, int flags, unsigned int mode)');
const closeCall = libc('int close(int fd)');
const chdirCall = libc('int chdir(const char *path)');
const fchdirCall = libc('int fchdir(int fd)');

/** A mount as containerd words it; `core/mounts.ts` has the same shape. */
export interface MountWords {
  readonly type: string;
  readonly source: string;
  readonly target?: string;
  readonly options: readonly string[];
}

export const MS_RDONLY = 0x1;
export const MS_REMOUNT = 0x20;
export const MS_BIND = 0x1000;
export const MS_REC = 0x4000;
const MS_PRIVATE = 0x40000;
const MS_SLAVE = 0x80000;
const MS_SHARED = 0x100000;
const MS_UNBINDABLE = 0x20000;

export const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

/** Each option with the flag it sets or clears (mount(8), linux/mount.h). */
const flagOptions: Readonly<Record<string, { readonly set?: number; readonly clear?: number }>> = {
  ro: { set: MS_RDONLY },
  rw: { clear: MS_RDONLY },
  nosuid: { set: 0x2 },
  suid: { clear: 0x2 },
  nodev: { set: 0x4 },
  dev: { clear: 0x4 },
  noexec: { set: 0x8 },
  exec: { clear: 0x8 },
  sync: { set: 0x10 },
  async: { clear: 0x10 },
  remount: { set: MS_REMOUNT },
  mand: { set: 0x40 },
  nomand: { clear: 0x40 },
  dirsync: { set: 0x80 },
  nosymfollow: { set: 0x100 },
  noatime: { set: 0x400 },
  atime: { clear: 0x400 },
  nodiratime: { set: 0x800 },
  diratime: { clear: 0x800 },
  bind: { set: MS_BIND },
  rbind: { set: MS_BIND | MS_REC },
  relatime: { set: 0x200000 },
  norelatime: { clear: 0x200000 },
  strictatime: { set: 0x1000000 },
  nostrictatime: { clear: 0x1000000 },
  lazytime: { set: 0x2000000 },
  nolazytime: { clear: 0x2000000 },
  defaults: {},
};

const propagationOptions: Readonly<Record<string, number>> = {
  private: MS_PRIVATE,
  rprivate: MS_PRIVATE | MS_REC,
  slave: MS_SLAVE,
  rslave: MS_SLAVE | MS_REC,
  shared: MS_SHARED,
  rshared: MS_SHARED | MS_REC,
  unbindable: MS_UNBINDABLE,
  runbindable: MS_UNBINDABLE | MS_REC,
};

/** What mount(2) takes. `propagation` needs a call of its own, after the mount. */
export interface ParsedOptions {
  readonly flags: number;
  readonly data: string;
  readonly propagation: readonly number[];
  /** The source is a file, to be mounted as a block device. */
  readonly loop: boolean;
}

/** Turns option words into flags; words that are no flag of the kernel's are the file system's own data. */
export function parseOptions(options: readonly string[]): ParsedOptions {
  let flags = 0;
  const data: string[] = [];
  const propagation: number[] = [];
  let loop = false;
  for (const option of options) {
    const known = flagOptions[option];
    const spread = propagationOptions[option];
    if (option === 'loop') loop = true;
    else if (known !== undefined) flags = (flags & ~(known.clear ?? 0)) | (known.set ?? 0);
    else if (spread !== undefined) propagation.push(spread);
    else if (option !== '') data.push(option);
  }
  return { flags, data: data.join(','), propagation, loop };
}

function mount2(source: string, target: string, type: string | null, flags: number, data: string | null): void {
  check(mountCall(source, target, type, flags, data), 'mount', target);
}

/** mount(2) copies one page of options, and cuts what is longer in silence. */
const pageSize = 4096;

/**
 * Mounts an overlay whose options outgrow the page, by naming its layers relative to the directory they share. The
 * working directory belongs to the whole process: it is changed and put back without giving up the thread, and
 * nothing of ours uses relative paths.
 */
function mountFromDirectory(source: string, target: string, type: string, flags: number, data: string): void {
  const { directory, shortened } = shortenLayers(data);
  if (shortened.length >= pageSize) {
    throw new HakoError(
      'out-of-range',
      `mount "${target}": options of ${shortened.length} bytes do not fit the page mount(2) takes; the image has too many layers`,
    );
  }
  const O_PATH_DIRECTORY = 0x200000 | 0x10000 | 0x80000;
  const before = check(openCall('.', O_PATH_DIRECTORY, 0), 'open', '.');
  try {
    check(chdirCall(directory), 'chdir', directory);
    try {
      mount2(source, target, type, flags, shortened);
    } finally {
      check(fchdirCall(before), 'fchdir', directory);
    }
  } finally {
    closeCall(before);
  }
}

function shortenLayers(data: string): { directory: string; shortened: string } {
  const parts = data.split(',');
  const layers =
    parts
      .find((part) => part.startsWith('lowerdir='))
      ?.slice('lowerdir='.length)
      .split(':') ?? [];
  const first = layers[0] ?? '/';
  let directory = first.slice(0, first.lastIndexOf('/') + 1);
  while (directory !== '' && !layers.every((layer) => layer.startsWith(directory))) {
    directory = directory.slice(0, directory.lastIndexOf('/', directory.length - 2) + 1);
  }
  if (directory === '') return { directory: '/', shortened: data };
  const shortened = parts.map((part) =>
    part.startsWith('lowerdir=')
      ? `lowerdir=${layers.map((layer) => layer.slice(directory.length) || '.').join(':')}`
      : part,
  );
  return { directory, shortened: shortened.join(',') };
}

/**
 * Mounts one mount on exactly `target`, which must exist. A bind mount takes its flags by a remount, since the kernel
 * ignores them at first (mount(2)). Undoes itself when a later step fails.
 */
export function mountAt(words: MountWords, target: string): void {
  const { options, maps } = takeIdMaps(words.options);
  if (maps !== undefined) mountIdMapped({ ...words, options }, target, maps, mountAt);
  else mountPlain({ ...words, options }, target);
}

function mountPlain(words: MountWords, target: string): void {
  const parsed = parseOptions(words.options);
  if (!parsed.loop) {
    mountParsed(words, target, parsed);
    return;
  }
  // The mount keeps the device, which lets go of the file when it ends.
  const { path, fd } = attachLoop(words.source, { readonly: (parsed.flags & MS_RDONLY) !== 0, autoclear: true });
  try {
    mountParsed({ ...words, source: path }, target, parsed);
  } finally {
    closeFd(fd);
  }
}

function mountParsed(words: MountWords, target: string, { flags, data, propagation }: ParsedOptions): void {
  const binds = (flags & MS_BIND) !== 0 || words.type === 'bind';
  if (words.type === '' && !binds) throw invalid(`mount "${target}": neither a type nor "bind" is given`);
  if (binds && (flags & MS_REMOUNT) === 0) {
    mount2(words.source, target, null, MS_BIND | (flags & MS_REC), null);
  } else if (data.length >= pageSize) {
    mountFromDirectory(words.source, target, words.type, flags, data);
  } else {
    mount2(words.source, target, words.type, flags, data);
  }
  try {
    const extra = flags & ~(MS_BIND | MS_REC);
    if (binds && extra !== 0 && (flags & MS_REMOUNT) === 0)
      mount2('', target, null, MS_BIND | MS_REMOUNT | extra, null);
    for (const spread of propagation) mount2('', target, null, spread, null);
  } catch (error) {
    unmount(target, { lazy: true });
    throw error;
  }
}

/** Opens `target` below `root` so that no link in it leads outside, and gives a path that names exactly that place. */
function withinRoot<T>(root: string, target: string, use: (path: string) => T): T {
  const relative = target.replace(/^\/+/, '');
  if (relative === '' || relative === '.') return use(root);
  const O_PATH_CLOEXEC = 0x200000 | 0x80000;
  const directory = check(openCall(root, O_PATH_CLOEXEC | 0x10000, 0), 'open', root);
  try {
    const fd = openWithin(directory, relative, O_PATH_CLOEXEC, RESOLVE_IN_ROOT);
    try {
      return use(`/proc/self/fd/${fd}`);
    } finally {
      closeCall(fd);
    }
  } finally {
    closeCall(directory);
  }
}

/** Mounts all under `root` in order, each at its own `target`; when one fails, what was mounted is undone. */
export function mountAll(mounts: readonly MountWords[], root: string): void {
  let done = 0;
  try {
    for (const words of mounts) {
      withinRoot(root, words.target ?? '', (path) => mountAt(words, path));
      done += 1;
    }
  } catch (error) {
    for (const words of mounts.slice(0, done).toReversed()) {
      try {
        withinRoot(root, words.target ?? '', (path) => unmount(path, { lazy: true, follow: true }));
      } catch {
        // The first error is the one that tells something; what cannot be undone here goes with unmountAll(root).
      }
    }
    throw error;
  }
}

/**
 * Unmounts the topmost mount of `target`. False when nothing is mounted there, or the path is gone. `lazy` detaches
 * a mount that is busy (MNT_DETACH), but only after the plain way said so. Links are not followed unless `follow`.
 */
export function unmount(target: string, options: { lazy?: boolean; follow?: boolean } = {}): boolean {
  const flags = options.follow === true ? 0 : UMOUNT_NOFOLLOW;
  try {
    check(umountCall(target, flags), 'umount', target);
    return true;
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    if (error.errno === 'EINVAL' || error.errno === 'ENOENT') return false;
    if (error.errno !== 'EBUSY' || options.lazy !== true) throw error;
    check(umountCall(target, flags | MNT_DETACH), 'umount', target);
    return true;
  }
}

/** Unmounts everything stacked on `target` itself, busy or not. Idempotent. */
export function unmountAll(target: string): void {
  while (unmount(target, { lazy: true }));
}
