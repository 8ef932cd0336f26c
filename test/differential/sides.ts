import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPeer } from '../../bench/peer.ts';
import { sweep } from '../../scripts/lib/traces.mjs';
import { openHarbour } from '../support/daemon.ts';
import { which } from '../support/machine.ts';
import { startRegistry } from '../support/registry.ts';
import { makeFixtures } from './fixtures.ts';
import type { Release } from './scenario.ts';
import { Side } from './side.ts';

export interface Sides {
  readonly theirs: Side;
  readonly ours: Side;
  readonly release: Release;
  readonly ctr: string;
}

/** Collects garbage only where a line asks for it, or what is still there would be a matter of time. */
const quiet = `[plugins."io.containerd.gc.v1.scheduler"]
mutation_threshold = 0
startup_delay = "1h"
pause_threshold = 0.000001
`;

/** Ours unpacks with every snapshotter that it has; containerd's transfer service with those that it was told of. */
const unpacks = ['overlayfs', 'native'].map(
  (name) => `[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "linux"
snapshotter = "${name}"
`,
);

/**
 * Starts both daemons, Debian's containerd and ours, and a registry for both. HAKO_TEST_PEER may name another
 * containerd, as a directory or as the command prefix that reaches it, and HAKO_TEST_CTR its ctr; TMPDIR must then be a
 * directory that both see.
 */
export async function openSides(undo: AsyncDisposableStack): Promise<Sides> {
  const ctr = process.env['HAKO_TEST_CTR'] ?? which('ctr') ?? 'ctr';
  const registry = await startRegistry();
  undo.defer(() => registry.stop());
  const home = undo.adopt(mkdtempSync(join(tmpdir(), 'hdiff-')), (dir) => sweep(dir));
  await makeFixtures(join(home, 'fixtures'), registry.url);
  const env = { R: registry.host, F: join(home, 'fixtures') };
  const common = [
    [home, '<dir>'],
    [registry.host, '<registry>'],
  ] as const;

  const peer = await startPeer(join(home, 'p'), process.env['HAKO_TEST_PEER'], undo, quiet + unpacks.join(''));
  const theirRoot = join(home, 'p/root');
  const theirs = new Side({
    ...{ name: 'theirs', dir: join(home, 'theirs'), address: peer.address, ctr, env, shell: peer.shell },
    names: [
      ...['overlayfs', 'native'].map(
        (name) => [`${theirRoot}/io.containerd.snapshotter.v1.${name}/snapshots`, '<trees>'] as const,
      ),
      [`${join(home, 'theirs')}`, '<mine>'],
      ['/theirs/', '/own/'],
      [theirRoot, '<root>'],
      [join(home, 'p/state/io.containerd.runtime.v2.task'), '<bundles>'],
      [join(home, 'p/state'), '<state>'],
      [peer.address, '<address>'],
      ...common,
    ],
  });

  const { daemon } = await openHarbour(undo, { config: `version = 3\n${quiet}` });
  const ours = new Side({
    ...{ name: 'ours', dir: join(home, 'ours'), address: daemon.address, ctr, env, shell: ['sh'] },
    names: [
      ...['overlayfs', 'native'].map((name) => [`${daemon.root}/snapshots/${name}`, '<trees>'] as const),
      [`${join(home, 'ours')}`, '<mine>'],
      ['/ours/', '/own/'],
      [daemon.root, '<root>'],
      [daemon.address, '<address>'],
      [join(daemon.state, 'tasks'), '<bundles>'],
      [daemon.state, '<state>'],
      ...common,
    ],
  });
  return { theirs, ours, ctr, release: releaseOf(ctr) };
}

function releaseOf(ctr: string): Release {
  const text = execFileSync(ctr, ['--version'], { encoding: 'utf8' });
  return /\b1\.[0-9]+\./.test(text) ? '1.6' : '2.1';
}
