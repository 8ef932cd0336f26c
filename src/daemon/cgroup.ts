import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { HakoError, messageOf } from '#base/errors.ts';

/**
 * Moves this process into a cgroup, which is made where there is none: on a unified host into one, elsewhere into one of
 * that path in each controller's tree. What the daemon starts follows, so the shim is in it too; containers have their own.
 */
export function joinCgroup(cgroup: string, mountpoint = '/sys/fs/cgroup'): void {
  if (cgroup === '') return;
  try {
    for (const tree of treesBelow(mountpoint)) joinIn(tree, cgroup);
  } catch (error) {
    const hint = 'make it beforehand, or leave cgroup.path empty';
    throw new HakoError(
      'failed-precondition',
      `cgroup "${cgroup}" cannot be entered: ${messageOf(error)}; ${hint}`,
      error,
    );
  }
}

function treesBelow(mountpoint: string): string[] {
  if (existsSync(path.join(mountpoint, 'cgroup.controllers'))) return [mountpoint];
  return readdirSync(mountpoint, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'unified')
    .map((entry) => path.join(mountpoint, entry.name));
}

function joinIn(tree: string, cgroup: string): void {
  let directory = tree;
  for (const name of cgroup.split('/').filter((part) => part !== '')) {
    const parent = directory;
    directory = path.join(parent, name);
    mkdirSync(directory, { recursive: true });
    if (path.basename(tree) !== 'cpuset') continue;
    // A new cpuset of version 1 has neither processors nor memory, and takes no process before it has.
    for (const file of ['cpuset.cpus', 'cpuset.mems']) inherit(path.join(parent, file), path.join(directory, file));
  }
  writeFileSync(path.join(directory, 'cgroup.procs'), `${process.pid}\n`);
}

function inherit(from: string, to: string): void {
  if (!existsSync(from)) return;
  if (existsSync(to) && readFileSync(to, 'utf8').trim() !== '') return;
  const value = readFileSync(from, 'utf8').trim();
  if (value !== '') writeFileSync(to, value);
}
