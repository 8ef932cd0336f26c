import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { HakoError, invalid, messageOf } from '#base/errors.ts';
import { parseIdMappings } from '#base/id-mappings.ts';
import { closeFd, O_RDONLY, openFd } from './fd.ts';
import { check, libc } from './libc.ts';
import type { MountWords } from './mount.ts';

/** Mounts whose files belong to other ids than on disk (mount_setattr(2), Linux 5.12; below overlayfs 5.19). */

const call3 = libc('long syscall(long number, int directory, const char *path, unsigned int flags)');
const call5 = libc(
  'long syscall(long number, int directory, const char *path, unsigned long flags, const void *data, size_t size)',
);
const moveCall = libc(
  'long syscall(long number, int from, const char *fromPath, int to, const char *toPath, unsigned int flags)',
);
// One table for all architectures since Linux 5.
const openTreeNumber = 428;
const moveMountNumber = 429;
const mountSetattrNumber = 442;

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0x80000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MOUNT_ATTR_IDMAP = 0x100000n;

/** How long a process may take to be in a user namespace of its own. */
const PATIENCE_MS = 5000;

interface IdMaps {
  readonly uidmap: string;
  readonly gidmap: string;
}

/** Takes containerd's own words out of the options: the kernel knows nothing of them. Both are needed to mean anything. */
export function takeIdMaps(options: readonly string[]): {
  readonly options: readonly string[];
  readonly maps?: IdMaps;
} {
  const value = (key: string): string | undefined => options.findLast((one) => one.startsWith(key))?.slice(key.length);
  const uidmap = value('uidmap=');
  const gidmap = value('gidmap=');
  if (uidmap === undefined && gidmap === undefined) return { options };
  const rest = options.filter((one) => !/^[ug]idmap=/.test(one));
  return uidmap === undefined || gidmap === undefined ? { options: rest } : { options: rest, maps: { uidmap, gidmap } };
}

/** Mounts by `mount`, so that the ids on disk are those inside of the mappings. */
export function mountIdMapped(
  words: MountWords,
  target: string,
  maps: IdMaps,
  mount: (words: MountWords, target: string) => void,
): void {
  const namespace = openUserNamespace(maps);
  try {
    if (words.type === 'overlay') mountOverlay(words, namespace, (mapped) => mount(mapped, target));
    else {
      mount(words, target);
      try {
        cloneMapped(target, target, namespace);
      } catch (error) {
        detach(target);
        throw error;
      }
    }
  } finally {
    closeFd(namespace);
  }
}

/** overlayfs wants its lower layers mapped; what is written goes up as whoever wrote it is outside. */
function mountOverlay(words: MountWords, namespace: number, mount: (words: MountWords) => void): void {
  const lowerdir = words.options.find((option) => option.startsWith('lowerdir='));
  if (lowerdir === undefined) throw invalid('overlay mount with id mappings: there is no lowerdir');
  const place = mkdtempSync(path.join(tmpdir(), 'hako-idmap-'));
  const mapped: string[] = [];
  try {
    for (const [at, lower] of lowerdir.slice('lowerdir='.length).split(':').entries()) {
      const there = path.join(place, String(at));
      mkdirSync(there);
      cloneMapped(lower, there, namespace);
      mapped.push(there);
    }
    const options = words.options.map((one) => (one === lowerdir ? `lowerdir=${mapped.join(':')}` : one));
    mount({ ...words, options });
  } finally {
    // The overlay holds on to its layers; nobody needs their names.
    for (const one of mapped) detach(one);
    rmSync(place, { recursive: true, force: true });
  }
}

const umountCall = libc('int umount2(const char *target, int flags)');
const MNT_DETACH = 2;

function detach(target: string): void {
  check(umountCall(target, MNT_DETACH), 'umount', target);
}

/** Mounts what is at `source` once more at `target`, with the ids of a user namespace. */
function cloneMapped(source: string, target: string, namespace: number): void {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  const tree = check(call3(openTreeNumber, AT_FDCWD, source, flags), 'open_tree', source);
  try {
    const attributes = new BigUint64Array([MOUNT_ATTR_IDMAP, 0n, 0n, BigInt(namespace)]);
    const bytes = new Uint8Array(attributes.buffer);
    check(call5(mountSetattrNumber, tree, '', AT_EMPTY_PATH, bytes, bytes.length), 'mount_setattr', source);
    check(moveCall(moveMountNumber, tree, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH), 'move_mount', target);
  } finally {
    closeFd(tree);
  }
}

/** A user namespace with these mappings: a process must be in it while they are written. */
function openUserNamespace({ uidmap, gidmap }: IdMaps): number {
  const text = (words: string): string =>
    parseIdMappings(words)
      .map(({ container, host, size }) => `${container} ${host} ${size}\n`)
      .join('');
  const [uids, gids] = [text(uidmap), text(gidmap)];
  // unshare(2) refuses a process with several threads, which we are.
  const child = spawn('unshare', ['--user', '--', 'sleep', '60'], { stdio: 'ignore' });
  // What went wrong is told below, by what is missing.
  child.on('error', () => {});
  child.unref();
  try {
    const own = waitForNamespace(child);
    writeFileSync(`${own}/uid_map`, uids);
    writeFileSync(`${own}/gid_map`, gids);
    return openFd(`${own}/ns/user`, O_RDONLY);
  } catch (error) {
    if (error instanceof HakoError) throw error;
    throw new HakoError(
      'unavailable',
      `user namespace with id mappings "${uidmap}" and "${gidmap}": ${messageOf(error)}`,
    );
  } finally {
    child.kill('SIGKILL');
  }
}

/** Blocks this thread until the process is there: a few milliseconds. */
function waitForNamespace(child: ChildProcess): string {
  const ours = readlinkSync('/proc/self/ns/user');
  const until = performance.now() + PATIENCE_MS;
  const own = `/proc/${child.pid}`;
  while (child.pid !== undefined && performance.now() < until) {
    try {
      if (readlinkSync(`${own}/ns/user`) !== ours) return own;
    } catch {
      // Gone already.
      break;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
  }
  throw new HakoError(
    'unavailable',
    'no process could be started in a user namespace of its own: want the program "unshare" (package util-linux), and a kernel that allows it',
  );
}
