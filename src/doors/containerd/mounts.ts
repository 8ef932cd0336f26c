import type { MessageInitShape } from '@bufbuild/protobuf';
import { Mounts as MountsApi } from '#proto/gen/containerd/services/mounts/v1/mounts_pb.ts';
import type { ActivationInfoSchema } from '#proto/gen/containerd/types/mount_pb.ts';
import type { ActivationInfo, Mounts } from '#services/mounts.ts';
import { grpcService, type GrpcService } from '#wire/grpc-service.ts';
import { callOf } from './call.ts';
import { fromMount, needed, paths, toMount, toTimestamp } from './convert.ts';

export const mountsService = (mounts: Mounts): GrpcService =>
  grpcService(MountsApi, {
    activate: async ({ name, mounts: wanted, labels, temporary }, call) => ({
      info: toInfo(await mounts.activate(callOf(call), name, wanted.map(fromMount), { labels, temporary })),
    }),
    deactivate: async ({ name }, call) => {
      await mounts.deactivate(callOf(call), name);
      return {};
    },
    info: ({ name }, call) => ({ info: toInfo(mounts.info(callOf(call), name)) }),
    update: ({ info, updateMask }, call) => {
      const { name, labels } = needed(info, 'info');
      return { info: toInfo(mounts.update(callOf(call), { name, labels }, paths(updateMask))) };
    },
    list: async function* ({ filters }, call) {
      for (const info of mounts.list(callOf(call), filters)) yield { info: toInfo(info) };
    },
  });

const toInfo = ({ name, labels, active, system }: ActivationInfo): MessageInitShape<typeof ActivationInfoSchema> => ({
  name,
  labels: { ...labels },
  active: active.map(({ mount, mountedAt, mountPoint, data }) => ({
    mount: toMount(mount),
    mountedAt: toTimestamp(mountedAt),
    mountPoint,
    data: { ...data },
  })),
  system: system.map(toMount),
});
