import { join } from 'node:path';
import { startDaemon } from '../scripts/lib/daemon.mjs';
import { startRegistry } from '../scripts/lib/docker-registry.mjs';
import { busyboxImage, pushImage } from '../scripts/lib/images.mjs';
import { bareSide, makeBundle } from './bare.ts';
import { inTurn, type Benchmark, type Side } from './harness.ts';
import { startPeer } from './peer.ts';
import { quote, Shell } from './shell.ts';
import { temporaryDirectory, versionOf } from './support.ts';

/** How long a foreground `ctr run --rm` of /bin/true takes, from the call to the exit of the client. */
export const start: Benchmark = {
  name: 'start',
  about: 'ctr run --rm IMAGE ID /bin/true to the end of the client, the same client and runtime (runc) on both sides',
  async run({ rounds, peer: where }, undo) {
    const dir = temporaryDirectory(undo);
    const registry = undo.adopt(await startRegistry({ dir: join(dir, 'registry') }), (one) => one.stop());
    await pushImage(registry.url, 'busybox', 'latest', busyboxImage());
    const image = `${registry.host}/busybox:latest`;
    const peer = await startPeer(join(dir, 'peer'), where, undo);
    const daemon = undo.adopt(await startDaemon({ dir: join(dir, 'd') }), async (one) => void (await one.end()));
    const ours = await ctrSide('hakod', peer.ctr, daemon.address, ['sh'], process.env, image, undo);
    const theirs = await ctrSide(peer.name, peer.ctr, peer.address, peer.shell, peer.env, image, undo);
    const bundle = makeBundle(join(dir, 'bundle'));
    const bare = (['runc', 'crun'] as const).map((runtime) => bareSide(runtime, bundle, join(dir, 'bare'), undo));
    const facts = {
      containerd: await versionOf([...peer.shell.slice(0, -1), 'containerd', '--version'], peer.env),
      client: await versionOf([...peer.shell.slice(0, -1), peer.ctr, '--version'], peer.env),
      runc: await versionOf(['runc', '--version']),
      crun: await versionOf(['crun', '--version']),
      durability: 'hakod syncs its ledger before it answers; containerd syncs its database likewise',
    };
    const samples = await inTurn([ours, theirs, ...bare], rounds);
    return { name: start.name, about: start.about, ours: 'hakod', samples, facts };
  },
};

/** A client at one daemon, with the image pulled. */
async function ctrSide(
  name: string,
  ctr: string,
  address: string,
  shellCommand: readonly string[],
  env: NodeJS.ProcessEnv,
  image: string,
  undo: AsyncDisposableStack,
): Promise<Side> {
  const shell = undo.use(new Shell(shellCommand, env));
  const call = `${quote(ctr)} -a ${quote(address)}`;
  await shell.time(`${call} images pull --plain-http ${image}`);
  let count = 0;
  return { name, run: () => shell.time(`${call} run --rm ${image} bench-${process.pid}-${count++} /bin/true`) };
}
