import { readFileSync, readSync, rmdirSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HakoError } from '#base/errors.ts';
import { O_NONBLOCK, O_RDONLY, tryOpenFd } from '#sys/fd.ts';

/*
 * What `runc start` and `runc delete` come to for an ordinary container, without starting runc: two processes less for
 * each container. Both look for exactly what runc has kept in its state directory since 1.0, and give false, having
 * changed nothing that runc would miss, wherever anything looks different; then runc itself is called.
 */

/** The state that we read; runc writes much more. */
interface RuncState {
  readonly cgroup_paths?: Readonly<Record<string, string>>;
  readonly intel_rdt_path?: string;
  readonly config?: {
    readonly Hooks?: Readonly<Record<string, readonly unknown[] | null>> | null;
    readonly cgroups?: { readonly systemd?: boolean; readonly Systemd?: boolean };
  };
}

/**
 * Starts a created container: its first process waits until somebody reads from `exec.fifo`, and runc takes the FIFO's
 * absence for "running". `ended` ends the wait when the process dies instead.
 */
export async function startByFifo(root: string, id: string, ended: Promise<unknown>): Promise<boolean> {
  const fifo = path.join(root, id, 'exec.fifo');
  const fd = tryOpenFd(fifo, O_RDONLY | O_NONBLOCK);
  if (typeof fd === 'string') return false;
  const socket = new Socket({ fd, readable: true, writable: false });
  // From its first word on, or when it is closed, the descriptor is not ours to read any more.
  let heard: boolean | undefined;
  try {
    const read = new Promise<boolean>((resolve, reject) => {
      socket.once('data', () => resolve((heard ??= true)));
      socket.once('close', () => resolve((heard ??= false)));
      socket.once('error', reject);
    });
    // The news of a short life may overtake the byte that began it.
    const over = ended.then(() => nextTurn()).then(() => heard ?? isLeftIn(fd));
    const started = await Promise.race([read, over]);
    if (!started) throw new HakoError('failed-precondition', `task "${id}": cannot be started, it has ended`);
    rmSync(fifo, { force: true });
    return true;
  } finally {
    heard ??= false;
    socket.destroy();
  }
}

function isLeftIn(fd: number): boolean {
  try {
    return readSync(fd, new Uint8Array(1)) > 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return false;
    throw error;
  }
}

function readState(directory: string): RuncState | undefined {
  try {
    return JSON.parse(readFileSync(path.join(directory, 'state.json'), 'utf8')) as RuncState;
  } catch {
    return undefined;
  }
}

/** Removes the cgroups and the state directory of a container whose processes have all ended. */
export function deleteByHand(root: string, id: string): boolean {
  const directory = path.join(root, id);
  const state = readState(directory);
  if (state?.cgroup_paths === undefined) return false;
  const hooked = Object.values(state.config?.Hooks ?? {}).some((hooks) => (hooks ?? []).length > 0);
  const systemd = state.config?.cgroups?.systemd ?? state.config?.cgroups?.Systemd ?? false;
  if (hooked || systemd || (state.intel_rdt_path ?? '') !== '') return false;
  for (const cgroup of new Set(Object.values(state.cgroup_paths))) {
    try {
      rmdirSync(cgroup);
    } catch (error) {
      // One that is still populated, or has others below it, is runc's to wait for.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return false;
    }
  }
  rmSync(directory, { recursive: true, force: true });
  return true;
}
