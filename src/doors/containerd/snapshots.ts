import type { MessageInitShape } from '@bufbuild/protobuf';
import { invalid } from '#base/errors.ts';
import {
  Kind,
  Snapshots as SnapshotsApi,
  type InfoSchema,
} from '#proto/gen/containerd/services/snapshots/v1/snapshots_pb.ts';
import type { SnapshotInfo, Snapshots } from '#services/snapshots.ts';
import { grpcService, type GrpcService } from '#wire/grpc-service.ts';
import { callOf } from './call.ts';
import { inBlocks, needed, paths, toMount, toTimestamp } from './convert.ts';

const kinds = { view: Kind.VIEW, active: Kind.ACTIVE, committed: Kind.COMMITTED } as const;

export const snapshotsService = (snapshots: Snapshots): GrpcService =>
  grpcService(SnapshotsApi, {
    prepare: async ({ snapshotter, key, parent, labels }, call) => ({
      mounts: (await snapshots.prepare(callOf(call), named(snapshotter), key, parent, labels)).map(toMount),
    }),
    view: async ({ snapshotter, key, parent, labels }, call) => ({
      mounts: (await snapshots.view(callOf(call), named(snapshotter), key, parent, labels)).map(toMount),
    }),
    mounts: async ({ snapshotter, key }, call) => ({
      mounts: (await snapshots.mounts(callOf(call), named(snapshotter), key)).map(toMount),
    }),
    commit: async ({ snapshotter, name, key, labels, parent }, call) => {
      await snapshots.commit(callOf(call), named(snapshotter), name, key, labels, { parent });
      return {};
    },
    remove: async ({ snapshotter, key }, call) => {
      await snapshots.remove(callOf(call), named(snapshotter), key);
      return {};
    },
    stat: ({ snapshotter, key }, call) => ({ info: toInfo(snapshots.stat(callOf(call), named(snapshotter), key)) }),
    update: async ({ snapshotter, info, updateMask }, call) => {
      const { name, labels } = needed(info, 'Info');
      return {
        info: toInfo(await snapshots.update(callOf(call), named(snapshotter), { name, labels }, paths(updateMask))),
      };
    },
    list: async function* ({ snapshotter, filters }, call) {
      for (const block of inBlocks(snapshots.list(callOf(call), named(snapshotter), filters)))
        yield { info: block.map(toInfo) };
    },
    usage: async ({ snapshotter, key }, call) => {
      const { bytes, inodes } = await snapshots.usage(callOf(call), named(snapshotter), key);
      return { size: BigInt(bytes), inodes: BigInt(inodes) };
    },
    cleanup: async ({ snapshotter }, call) => {
      await snapshots.cleanup(callOf(call), named(snapshotter));
      return {};
    },
  });

/** Clients look up defaults themselves, in the labels of their namespace; the API has none. */
function named(snapshotter: string): string {
  if (snapshotter === '') throw invalid('snapshotter argument missing: invalid argument');
  return snapshotter;
}

const toInfo = (info: SnapshotInfo): MessageInitShape<typeof InfoSchema> => ({
  name: info.name,
  parent: info.parent,
  kind: kinds[info.kind],
  createdAt: toTimestamp(info.createdAt),
  updatedAt: toTimestamp(info.updatedAt),
  labels: { ...info.labels },
});
