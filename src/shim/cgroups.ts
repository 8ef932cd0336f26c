import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const mountpoint = '/sys/fs/cgroup';

/** True on a host whose only tree is version 2. */
export const isUnified = (): boolean => existsSync(path.join(mountpoint, 'cgroup.controllers'));

/**
 * Where the cgroups of a process are: by controller (version 1), or under '' (version 2). A runtime leaves a container
 * with a version 2 cgroup of its own on a hybrid host alone, so that tree is passed over there.
 */
export function cgroupsOf(pid: number): Record<string, string> {
  const unified = isUnified();
  const found: Record<string, string> = {};
  // A container without a cgroup of its own is in ours: taking that for its own would kill the shim with it.
  const ours = new Set(readOptional('/proc/self/cgroup').split('\n'));
  for (const line of readFileSync(`/proc/${pid}/cgroup`, 'utf8').trimEnd().split('\n')) {
    if (ours.has(line)) continue;
    const [, controllers = '', ...rest] = line.split(':');
    const below = rest.join(':');
    if (below === '/' || (controllers === '') !== unified) continue;
    if (unified) found[''] = path.join(mountpoint, below);
    else
      for (const name of controllers.split(',')) found[name] = path.join(mountpoint, name.replace(/^name=/, ''), below);
  }
  return found;
}

/** The cgroup in which all processes of a container are found. */
export const mainCgroup = (cgroups: Readonly<Record<string, string>>): string | undefined =>
  cgroups[''] ?? cgroups['pids'] ?? cgroups['devices'] ?? cgroups['memory'] ?? Object.values(cgroups)[0];

/** Every process in a cgroup and those below it, by its pid in our namespace. */
export function processesIn(directory: string): number[] {
  let entries;
  try {
    entries = readdirSync(directory, { withFileTypes: true });
  } catch {
    return [];
  }
  const own = readOptional(path.join(directory, 'cgroup.procs'))
    .split('\n')
    .filter((line) => line !== '')
    .map(Number);
  const below = entries
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => processesIn(path.join(directory, entry.name)));
  return [...own, ...below].filter((pid) => pid > 0);
}

/** The text of a cgroup file; '' when there is none. */
export function readOptional(file: string): string {
  try {
    return readFileSync(file, 'utf8').trimEnd();
  } catch {
    return '';
  }
}
