// Finds, and where asked removes, what daemons, shims and containers below a directory have left in the kernel. Used
// after the quickstart, the benchmarks and the tests: whatever names their directory is theirs.

import { lstatSync, readFileSync, readdirSync, readlinkSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.mjs';

const read = (file) => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
};

const link = (file) => {
  try {
    return readlinkSync(file);
  } catch {
    return '';
  }
};

/** Mount points below a directory, deepest first. */
export function mountsBelow(dir) {
  const points = read('/proc/self/mountinfo')
    .split('\n')
    .map((line) => unescapeMount(line.split(' ')[4] ?? ''));
  return points.filter((point) => point.startsWith(`${dir}/`)).reverse();
}

const unescapeMount = (text) =>
  text.replaceAll(/\\(\d{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)));

/**
 * Processes that belong to a directory: those that name it in their command line, and containers, which see its mounts
 * from a mount namespace of their own.
 */
export function processesOf(dir) {
  const own = link('/proc/self/ns/mnt');
  const found = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const command = read(`/proc/${name}/cmdline`).replaceAll('\0', ' ').trim();
    // A zombie holds nothing; whoever should reap it is not ours to judge.
    if (/^\S+ \(.*\) Z/s.test(read(`/proc/${name}/stat`))) continue;
    const namespace = link(`/proc/${name}/ns/mnt`);
    const inside = namespace !== '' && namespace !== own && read(`/proc/${name}/mountinfo`).includes(dir);
    if (command.includes(dir) || inside) found.push({ pid: Number(name), command });
  }
  return found;
}

/** Everything that a directory has left in the kernel, as lines to read. */
export function tracesOf(dir) {
  return [
    ...mountsBelow(dir).map((point) => `mount ${point}`),
    ...processesOf(dir).map(({ pid, command }) => `process ${pid}: ${command.slice(0, 120)}`),
  ];
}

/** Waits until nothing is left, for a while; gives what is left then. */
export async function tracesAfter(dir, milliseconds) {
  const deadline = Date.now() + milliseconds;
  for (;;) {
    const left = tracesOf(dir);
    if (left.length === 0 || Date.now() > deadline) return left;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Ends every process of a directory, unmounts what is mounted in it, and removes it. */
export async function sweep(dir) {
  const cgroups = new Set();
  for (let round = 0; round < 20; round++) {
    const left = processesOf(dir);
    if (left.length === 0) break;
    for (const { pid } of left) {
      for (const line of read(`/proc/${pid}/cgroup`).split('\n')) cgroups.add(line);
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It went by itself.
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  for (const point of mountsBelow(dir)) await run('umount', ['-l', point]);
  for (const line of cgroups) removeCgroup(line);
  removeTree(dir);
}

/** Removes an empty cgroup of a line in /proc/PID/cgroup; one that others use stays, as rmdir refuses it. */
function removeCgroup(line) {
  const [, controllers, path] = line.split(':');
  if (path === undefined || path === '/' || path === '') return;
  const own = read('/proc/self/cgroup')
    .split('\n')
    .some((mine) => mine.endsWith(`:${path}`));
  if (own) return;
  const places = [controllers === '' ? '' : controllers.replace(/^name=/, ''), 'unified', ''];
  for (const place of places) {
    try {
      rmdirSync(join('/sys/fs/cgroup', place, path));
    } catch {
      // Not there, or not ours alone.
    }
  }
}

/** Removes a tree, but never anything of another file system that could not be unmounted. */
function removeTree(dir) {
  if (mountsBelow(dir).length > 0) return;
  if (lstatSync(dir, { throwIfNoEntry: false }) !== undefined)
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
}
