import { spawn } from 'node:child_process';
import { closeSync, fchmodSync, fchownSync, fstatSync, mkdirSync, openSync, readSync } from 'node:fs';
import { once } from 'node:events';
import path from 'node:path';
import { HakoError } from '#base/errors.ts';
import type { Mount } from '#core/mounts.ts';
import type { RootfsReader } from '#core/rootfs.ts';
import { check, libc, SysError } from '#sys/libc.ts';
import { mountAll, unmountAll } from '#sys/mount.ts';
import { openWithin, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS } from '#sys/openat2.ts';

const openCall = libc('int open(const char *path, int flags, unsigned int mode)');
const MNT_DETACH = 2;
const umountCall = libc('int umount2(const char *target, int flags)');

const O_PATH = 0x200000;
const O_CLOEXEC = 0x80000;

/** passwd files of whole directories of people fit; a device or an endless file does not. */
const maxFile = 4 * 1024 * 1024;

/**
 * Reads trees by mounting them for the blink of an eye: the mount is opened and detached again before anything else of
 * this thread runs, and lives on by its descriptor alone. So no other process meets it, and whatever kills the daemon
 * takes it along. `directory` is where the blink happens; the constructor clears it.
 */
export class RootfsDriver implements RootfsReader {
  readonly #directory: string;

  constructor(options: { readonly directory: string }) {
    this.#directory = options.directory;
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    unmountAll(this.#directory);
  }

  async readFiles(
    mounts: readonly Mount[],
    paths: readonly string[],
    signal: AbortSignal,
  ): Promise<(Uint8Array | undefined)[]> {
    signal.throwIfAborted();
    const root = this.#open(mounts);
    try {
      return paths.map((file) => readInRoot(root, file));
    } finally {
      closeSync(root);
    }
  }

  async readFilesOf(pid: number, paths: readonly string[], signal: AbortSignal): Promise<(Uint8Array | undefined)[]> {
    signal.throwIfAborted();
    let root: number;
    try {
      root = openSync(`/proc/${pid}/root`, O_PATH | 0x10000);
    } catch (error) {
      throw new HakoError('not-found', `process ${pid}: not found`, error);
    }
    try {
      return paths.map((file) => readInRoot(root, file));
    } finally {
      closeSync(root);
    }
  }

  async copyUp(mounts: readonly Mount[], inside: string, target: string, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    const root = this.#open(mounts);
    try {
      const source = openInRoot(root, inside);
      if (source === undefined) return false;
      try {
        const info = fstatSync(source);
        if (!info.isDirectory()) return false;
        await copyTree(source, target, signal);
        const directory = openSync(target, 'r');
        try {
          fchownSync(directory, info.uid, info.gid);
          fchmodSync(directory, info.mode & 0o7777);
        } finally {
          closeSync(directory);
        }
        return true;
      } finally {
        closeSync(source);
      }
    } finally {
      closeSync(root);
    }
  }

  /** A descriptor of the tree's root, mounted nowhere. */
  #open(mounts: readonly Mount[]): number {
    if (mounts.length === 0)
      throw new HakoError('invalid-argument', 'a root file system without mounts cannot be read');
    mountAll(mounts.map(readonly), this.#directory);
    try {
      return check(openCall(this.#directory, O_PATH | 0x10000 | O_CLOEXEC, 0), 'open', this.#directory);
    } finally {
      check(umountCall(this.#directory, MNT_DETACH), 'umount', this.#directory);
    }
  }
}

/**
 * The same tree, unwritable. An overlay's upper directory becomes its topmost layer: two writable overlays on one upper
 * directory are undefined (kernel, filesystems/overlayfs.rst).
 */
function readonly(mount: Mount): Mount {
  if (mount.type !== 'overlay')
    return { ...mount, options: [...mount.options.filter((option) => option !== 'rw'), 'ro'] };
  const value = (key: string): string | undefined =>
    mount.options.find((option) => option.startsWith(`${key}=`))?.slice(key.length + 1);
  const upper = value('upperdir');
  const lower = value('lowerdir');
  if (upper === undefined) return mount;
  const rest = mount.options.filter(
    (option) => !/^(upperdir|workdir|lowerdir|volatile$)/.test(option) && option !== 'rw',
  );
  return {
    ...mount,
    options: [...rest, 'ro', `lowerdir=${[upper, ...(lower === undefined ? [] : [lower])].join(':')}`],
  };
}

/** Opens a place inside `root` without any right to it but looking; undefined when it is not there. */
function openInRoot(root: number, inside: string): number | undefined {
  const relative = path.posix.normalize(inside).replace(/^\/+/, '') || '.';
  try {
    return openWithin(root, relative, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  } catch (error) {
    if (error instanceof SysError && ['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES'].includes(error.errno)) return undefined;
    throw error;
  }
}

function readInRoot(root: number, inside: string): Uint8Array | undefined {
  const place = openInRoot(root, inside);
  if (place === undefined) return undefined;
  try {
    // Looked at before it is opened: opening a FIFO waits, and opening a device acts.
    const info = fstatSync(place);
    if (!info.isFile()) return undefined;
    if (info.size > maxFile)
      throw new HakoError('resource-exhausted', `file "${inside}" of the image: larger than ${maxFile} bytes`);
    const fd = openSync(`/proc/self/fd/${place}`, 'r');
    try {
      return readWhole(fd, info.size);
    } finally {
      closeSync(fd);
    }
  } finally {
    closeSync(place);
  }
}

function readWhole(fd: number, size: number): Uint8Array {
  const bytes = Buffer.alloc(size);
  let filled = 0;
  while (filled < size) {
    const count = readSync(fd, bytes, filled, size - filled, filled);
    if (count === 0) break;
    filled += count;
  }
  return bytes.subarray(0, filled);
}

/** cp(1) keeps what Node's copy drops: owners, times, links among files, extended attributes, holes, devices. */
async function copyTree(source: number, target: string, signal: AbortSignal): Promise<void> {
  const child = spawn('cp', ['-a', '--', '/proc/self/fd/3/.', `${target}/`], {
    stdio: ['ignore', 'ignore', 'pipe', source],
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' },
    signal,
    killSignal: 'SIGKILL',
  });
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = `${complaint}${text}`.slice(0, 2000);
  });
  let code: unknown;
  try {
    [code] = await once(child, 'close');
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw notFoundCommand(error);
  }
  if (code !== 0)
    throw new HakoError(
      'unknown',
      `copying image content to "${target}": ${complaint.trim().split('\n')[0] ?? `cp ended with ${String(code)}`}`,
    );
}

const notFoundCommand = (error: unknown): HakoError =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT'
    ? new HakoError('failed-precondition', 'cp is not installed: volumes cannot be filled from the image', error)
    : new HakoError('unknown', 'cp did not start', error);
