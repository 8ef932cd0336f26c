import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDaemon, type PrivateDaemon } from '../../scripts/lib/daemon.mjs';
import { Guests } from './guests.ts';
import { busyboxImage, pushImage } from './images.ts';
import { startRegistry, type RunningRegistry } from './registry.ts';

export type { PrivateDaemon };

/** A private daemon with guests at its doors. */
export interface Harbour {
  readonly daemon: PrivateDaemon;
  readonly guests: Guests;
}

/**
 * Starts a daemon in a directory of its own. `undo` ends it, and fails when something had to be removed by force then:
 * containers, shims and mounts must go when they are told to.
 */
export async function openHarbour(undo: AsyncDisposableStack, options: { config?: string } = {}): Promise<Harbour> {
  if (elsewhere !== undefined) return stranger(elsewhere);
  const dir = mkdtempSync(join(tmpdir(), 'hd-'));
  const daemon = await startDaemon({ dir, ...options });
  undo.defer(async () => {
    const left = await daemon.end();
    if (left.length > 0)
      throw new Error(`left behind in ${dir}:\n${left.join('\n')}\nthe daemon's log:\n${lastLines(daemon.log())}`);
  });
  return { daemon, guests: new Guests(daemon) };
}

/** A registry with `busybox:latest` in it, until `undo`. */
export async function openRegistry(
  undo: AsyncDisposableStack,
): Promise<RunningRegistry & { readonly busybox: string }> {
  const registry = await startRegistry();
  undo.defer(() => registry.stop());
  await pushImage(registry.url, 'busybox', 'latest', busyboxImage());
  return Object.assign(registry, { busybox: `${registry.host}/busybox:latest` });
}

/**
 * HAKO_TEST_ADDRESS and HAKO_TEST_DOCKER_ADDRESS try the tests of `ctr` and `docker` against a containerd and a dockerd
 * that run already: a test that fails there is wrong.
 */
export const elsewhere = process.env['HAKO_TEST_ADDRESS'] ?? process.env['HAKO_TEST_DOCKER_ADDRESS'];

function stranger(address: string): Harbour {
  const dockerAddress = process.env['HAKO_TEST_DOCKER_ADDRESS'] ?? '/none';
  const refuse = (): never => {
    throw new Error('the daemon at HAKO_TEST_ADDRESS is not ours to start or stop');
  };
  const daemon = { dir: tmpdir(), root: '', state: '', address, dockerAddress, configFile: '', pid: undefined };
  const calls = { configure: refuse, log: () => '', start: refuse, stop: refuse, kill: refuse, end: refuse };
  return { daemon: { ...daemon, ...calls }, guests: new Guests({ address, dockerAddress, dir: tmpdir() }) };
}

const lastLines = (text: string): string => text.trimEnd().split('\n').slice(-40).join('\n');
