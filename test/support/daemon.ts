import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
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

/** What has an `after`: a test's context, or the module `node:test` for a whole file. */
export type Afterwards = Pick<TestContext, 'after'> | { after(done: () => Promise<void>): void };

/**
 * Starts a daemon in a directory of its own, and ends it after the test or file. The test fails when something had to
 * be removed by force then: containers, shims and mounts must go when they are told to.
 */
export async function openHarbour(afterwards: Afterwards, options: { config?: string } = {}): Promise<Harbour> {
  const dir = mkdtempSync(join(tmpdir(), 'hd-'));
  const daemon = await startDaemon({ dir, ...options });
  afterwards.after(async () => {
    const left = await daemon.end();
    if (left.length > 0) throw new Error(`left behind in ${dir}:\n${left.join('\n')}\nthe daemon's log:\n${lastLines(daemon.log())}`);
  });
  return { daemon, guests: new Guests(daemon) };
}

/** A registry with `busybox:latest` in it, for as long as the test or file runs. */
export async function openRegistry(afterwards: Afterwards): Promise<RunningRegistry & { readonly busybox: string }> {
  const registry = await startRegistry();
  afterwards.after(() => registry.stop());
  await pushImage(registry.url, 'busybox', 'latest', busyboxImage());
  return Object.assign(registry, { busybox: `${registry.host}/busybox:latest` });
}

const lastLines = (text: string): string => text.trimEnd().split('\n').slice(-40).join('\n');
