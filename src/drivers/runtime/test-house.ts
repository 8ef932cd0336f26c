import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { silent } from '#base/log.ts';
import type { RuntimeUnderTest } from '#core/suites/runtime.ts';
import { ShimRuntime } from './shim-runtime.ts';

const applets = [
  'sh',
  'cat',
  'echo',
  'printf',
  'true',
  'sleep',
  'usleep',
  'seq',
  'stty',
  'tty',
  'id',
  'ls',
  'kill',
  'grep',
];
const shim = path.join(import.meta.dirname, '../../../bin/hako-shim');

/** A real shim with a directory of its own, for tests. */
export interface House extends RuntimeUnderTest {
  readonly runtime: ShimRuntime;
  readonly state: string;
  /** Another daemon over the same state. */
  restart(): ShimRuntime;
  /** The pid of the `keeper` or of the shim (`serve`). */
  pidOf(verb: 'keeper' | 'serve'): number | undefined;
}

/** The first busybox on PATH, where the tests' set-up puts a static one. */
function findBusybox(): string {
  const places = (process.env['PATH'] ?? '').split(':').map((directory) => path.join(directory, 'busybox'));
  const found = places.find((place) => existsSync(place));
  if (found === undefined) throw new Error('no busybox on PATH: install the package busybox-static');
  return found;
}

export async function makeHouse(name = 'io.containerd.runc.v2'): Promise<House> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'hako-runtime-'));
  const state = path.join(directory, 'state');
  const tree = path.join(directory, 'tree');
  for (const name of ['bin', 'proc', 'dev', 'etc']) mkdirSync(path.join(tree, name), { recursive: true });
  copyFileSync(findBusybox(), path.join(tree, 'bin/busybox'));
  for (const applet of applets) symlinkSync('busybox', path.join(tree, 'bin', applet));
  writeFileSync(path.join(tree, 'etc/plain'), 'not a program\n', { mode: 0o644 });
  const opened: ShimRuntime[] = [];
  const restart = (): ShimRuntime => {
    const runtime = new ShimRuntime({ state, shimCommand: [shim], logger: silent });
    opened.push(runtime);
    return runtime;
  };
  return {
    name,
    runtime: restart(),
    restart,
    state,
    rootfs: [{ type: 'bind', source: tree, options: ['rbind', 'ro'] }],
    directory,
    pidOf: (verb) => findProcess((command) => command.includes(verb) && command.includes(state)),
    async [Symbol.asyncDispose]() {
      for (const runtime of opened) runtime.close();
      // Nobody needs them any more, so keeper and shim leave by themselves.
      while (findProcess((command) => command.includes(state)) !== undefined) await sleep(50);
      await rm(directory, { recursive: true, force: true });
      removeCgroupParents();
    },
  };
}

/** Runtimes remove a container's cgroup, but not the one above it, which only these tests use. */
function removeCgroupParents(): void {
  const name = `hako-suite-${process.pid}`;
  for (const tree of ['', ...readdirSync('/sys/fs/cgroup')]) {
    try {
      rmdirSync(path.join('/sys/fs/cgroup', tree, name));
    } catch {
      // Not in this tree.
    }
  }
}

/** The first process whose arguments satisfy. */
export function findProcess(suits: (command: readonly string[]) => boolean): number | undefined {
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      if (suits(readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0'))) return Number(entry);
    } catch {
      // It has ended since.
    }
  }
  return undefined;
}

/** What is left of containers, anywhere: mounts, cgroups, FIFOs, bundles, runtime state. */
export function leftovers(house: House): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(house.directory));
  const below = (directory: string): string[] =>
    existsSync(directory)
      ? readdirSync(directory, { recursive: true, encoding: 'utf8' }).map((name) => path.join(directory, name))
      : [];
  const bundles = below(path.join(house.state, 'tasks')).filter(
    (file) => path.dirname(file) !== path.join(house.state, 'tasks'),
  );
  const runc = below(path.join(house.state, 'runc')).filter(
    (file) => path.dirname(file) !== path.join(house.state, 'runc'),
  );
  const consoles = below(path.join(house.state, 'shim')).filter((file) => path.basename(file).startsWith('console-'));
  const groups = ['', 'pids', 'memory'].map((name) => path.join('/sys/fs/cgroup', name, `hako-suite-${process.pid}`));
  return [
    ...mounts,
    ...bundles,
    ...runc,
    ...consoles,
    ...groups.flatMap(below).filter((file) => path.basename(file).startsWith('box-')),
  ];
}
