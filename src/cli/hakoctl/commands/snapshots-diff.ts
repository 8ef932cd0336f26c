import { readBlob } from '#client/containerd/content.ts';
import { diff as diffService } from '#client/containerd/diff.ts';
import { leaseId, withLease } from '#client/containerd/lease-scope.ts';
import { isActive, snapshots, type Mount } from '#client/containerd/snapshots.ts';
import type { Containerd } from '#client/containerd.ts';
import { pour } from '../../output.ts';
import { command } from '../command.ts';
import { pairs } from '../parse.ts';
import { seekingSnapshot, snapshotterOf } from '../snapshot-seek.ts';

export const diff = command({
  usage: '[flags] <idA> [<idB>]',
  description: 'With one snapshot: what it changed of its parent. With two: what the second changed of the first.',
  flags: {
    'media-type': {
      kind: 'one',
      fallback: 'application/vnd.oci.image.layer.v1.tar+gzip',
      help: 'Media type to use for creating diff',
    },
    ref: { kind: 'one', help: 'Content upload reference to use' },
    keep: { kind: 'on', help: 'Keep diff content. up to creator to delete it.' },
    label: { kind: 'many', help: 'Labels to attach to the content' },
  },
  takes: [1, 2],
  examples: [['snapshots diff --media-type application/vnd.oci.image.layer.v1.tar web | tar t', 'what was changed']],
  async run(context, { flags, rest: [a = '', b] }) {
    const snapshotter = await snapshotterOf(context);
    const labels = pairs(flags.label);
    if (flags.keep) labels['containerd.io/gc.root'] = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const request = { mediaType: flags['media-type'], ref: flags.ref ?? '', labels };
    const epoch = sourceDateEpoch(context.environment);
    await withLease(context.door, async (door) => {
      await using undo = new AsyncDisposableStack();
      const look = (key: string): Promise<Mount[]> =>
        seekingSnapshot(context, snapshotter, key, () => mountsOf(door, snapshotter, key, undo));
      const left = b === undefined ? await parentMounts(door, snapshotter, a, undo) : await look(a);
      const right = await look(b ?? a);
      const { diff: made } = await diffService(door).diff({
        left,
        right,
        ...request,
        ...(epoch === undefined ? {} : { sourceDateEpoch: { seconds: epoch } }),
      });
      for await (const piece of readBlob(door, made?.digest ?? '')) await pour(1, piece);
    });
  },
});

const sourceDateEpoch = (environment: Readonly<Record<string, string | undefined>>): bigint | undefined =>
  /^\d{1,15}$/.test(environment['SOURCE_DATE_EPOCH'] ?? '') ? BigInt(environment['SOURCE_DATE_EPOCH']!) : undefined;

/** An active snapshot's own mounts; of any other those of a view, which goes when we are done. */
async function mountsOf(
  door: Containerd,
  snapshotter: string,
  key: string,
  undo: AsyncDisposableStack,
): Promise<Mount[]> {
  const { info } = await snapshots(door).stat({ snapshotter, key });
  if (info !== undefined && isActive(info)) return (await snapshots(door).mounts({ snapshotter, key })).mounts;
  return viewOf(door, snapshotter, key, undo);
}

async function viewOf(
  door: Containerd,
  snapshotter: string,
  parent: string,
  undo: AsyncDisposableStack,
): Promise<Mount[]> {
  const key = `${leaseId()}-view ${parent}`;
  const { mounts } = await snapshots(door).view({ snapshotter, key, parent });
  undo.defer(
    async () =>
      void (await snapshots(door)
        .remove({ snapshotter, key })
        .catch(() => {})),
  );
  return mounts;
}

/** Mounts of what a snapshot stands on: of one that stands on nothing, of an empty one. */
async function parentMounts(
  door: Containerd,
  snapshotter: string,
  key: string,
  undo: AsyncDisposableStack,
): Promise<Mount[]> {
  const { info } = await snapshots(door)
    .stat({ snapshotter, key })
    .catch(() => ({ info: undefined }));
  return viewOf(door, snapshotter, info?.parent ?? '', undo);
}
