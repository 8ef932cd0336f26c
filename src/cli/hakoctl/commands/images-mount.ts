import { resolve } from 'node:path';
import { codeOf } from '#base/errors.ts';
import { formatPlatform, hostPlatform, parsePlatform } from '#base/platforms.ts';
import { fromMessage } from '#client/containerd/image-graph.ts';
import { leases } from '#client/containerd/leases.ts';
import { chooseSnapshotter, snapshots, type Mount } from '#client/containerd/snapshots.ts';
import { unpackImage } from '#client/containerd/unpack.ts';
import type { Containerd } from '#client/containerd.ts';
import { mountOn, unmountFrom } from '#client/mounting.ts';
import type { FlagSpec } from '../../flags.ts';
import { print } from '../../output.ts';
import { command } from '../command.ts';
import { findImage } from '../image-names.ts';
import { registryFlags } from '../registry-flags.ts';
import { snapshotterFlag } from './images-check.ts';

/** `ctr` takes them here too, and does nothing with them. */
const hidden: Record<string, FlagSpec> = Object.fromEntries(
  Object.entries(registryFlags).map(([name, flag]) => [name, { ...flag, hidden: true }]),
);
hidden['label'] = { kind: 'many', hidden: true, help: 'Without effect, as in ctr' };
const lifetime = 24 * 3_600_000;

const ignoreMissing = (error: unknown): void => {
  if (codeOf(error) !== 'not-found') throw error;
};

export const mountImage = command({
  usage: '[flags] <ref> <target>',
  description:
    'Mounts the image read-only, or with --rw on a layer of its own. The snapshot is called as the target, and a lease of\nthat name keeps it for a day. "images unmount --rm" takes all of it away.',
  flags: {
    ...hidden,
    ...snapshotterFlag,
    rw: { kind: 'on', help: 'Enable write support on the mount' },
    platform: {
      kind: 'one',
      fallback: formatPlatform(hostPlatform()),
      help: 'Mount the image for the specified platform',
    },
    'sync-fs': { kind: 'on', help: 'Synchronize the underlying filesystem when the layers are unpacked' },
  },
  takes: [2, 2],
  examples: [['images mount alpine /mnt', 'look into an image']],
  async run(context, { flags, rest: [word = '', target = ''] }) {
    const { door } = context;
    const image = await findImage(context, word);
    const snapshotter = await chooseSnapshotter(door, String(flags.snapshotter ?? ''));
    await using undo = new AsyncDisposableStack();
    const leased = door.underLease(await keep(door, target, snapshotter, undo));
    const platform = parsePlatform(String(flags.platform));
    const parent = await unpackImage(leased, {
      target: fromMessage(image.target),
      snapshotter,
      platform,
      syncFs: flags['sync-fs'] === true,
    });
    print(1, `${parent}\n`);
    const mounts = await mountsOf(leased, { snapshotter, key: target, parent, writable: flags.rw === true }, undo);
    mountOn(mounts, resolve(target));
    undo.move();
    print(1, `${target}\n`);
  },
});

/** Holds the snapshot by a lease of its name for a day. One that is there already is fine. */
async function keep(door: Containerd, id: string, snapshotter: string, undo: AsyncDisposableStack): Promise<string> {
  const expiry = new Date(Date.now() + lifetime).toISOString().replace(/\.\d+Z$/, 'Z');
  const labels = { 'containerd.io/gc.expire': expiry, [`containerd.io/gc.ref.snapshot.${snapshotter}`]: id };
  try {
    await leases(door).create({ id, labels });
    undo.defer(
      async () =>
        void (await leases(door)
          .delete({ id })
          .catch(() => {})),
    );
  } catch (error) {
    if (codeOf(error) !== 'already-exists') throw error;
  }
  return id;
}

async function mountsOf(
  door: Containerd,
  { writable, ...snapshot }: { snapshotter: string; key: string; parent: string; writable: boolean },
  undo: AsyncDisposableStack,
): Promise<Mount[]> {
  const api = snapshots(door);
  const { snapshotter, key } = snapshot;
  try {
    const { mounts } = await (writable ? api.prepare(snapshot) : api.view(snapshot));
    undo.defer(async () => void (await api.remove({ snapshotter, key }).catch(() => {})));
    return mounts;
  } catch (error) {
    if (codeOf(error) !== 'already-exists') throw error;
    return (await api.mounts({ snapshotter, key })).mounts;
  }
}

export const unmountImage = command({
  usage: '[flags] <target>',
  flags: {
    ...hidden,
    ...snapshotterFlag,
    rm: { kind: 'on', help: 'Remove the snapshot after a successful unmount' },
  },
  takes: [1, 1],
  examples: [['images unmount --rm /mnt', 'and forget what was written there']],
  async run({ door }, { flags, rest: [target = ''] }) {
    try {
      unmountFrom(target);
    } catch (error) {
      // With --rm, what was unmounted by other means is still to be removed.
      if (codeOf(error) !== 'not-found' || flags.rm !== true) throw error;
    }
    if (flags.rm === true) {
      const snapshotter = await chooseSnapshotter(door, String(flags.snapshotter ?? ''));
      await leases(door).delete({ id: target }).catch(ignoreMissing);
      await snapshots(door).remove({ snapshotter, key: target }).catch(ignoreMissing);
    }
    print(1, `${target}\n`);
  },
});
