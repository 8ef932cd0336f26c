import { Diff as DiffApi } from '#proto/gen/containerd/services/diff/v1/diff_pb.ts';
import type { Diffs } from '#services/diffs.ts';
import { grpcService, type GrpcService } from '#wire/grpc-service.ts';
import { callOf } from './call.ts';
import { fromAny, fromDescriptor, fromMount, toDescriptor } from './convert.ts';

export const diffService = (diffs: Diffs): GrpcService =>
  grpcService(DiffApi, {
    apply: async (request, call) => {
      const layer = fromDescriptor(request.diff, 'diff');
      const payloads = Object.entries(request.payloads).map(([id, payload]) => [id, fromAny(payload)] as const);
      const options = { payloads: Object.fromEntries(payloads), syncFs: request.syncFs };
      return { applied: toDescriptor(await diffs.apply(callOf(call), layer, request.mounts.map(fromMount), options)) };
    },
    diff: async ({ left, right, mediaType, ref, labels, sourceDateEpoch }, call) => {
      const layer = await diffs.diff(callOf(call), {
        left: left.map(fromMount),
        right: right.map(fromMount),
        mediaType,
        ref,
        labels,
        ...(sourceDateEpoch === undefined
          ? {}
          : { sourceDateEpoch: { seconds: Number(sourceDateEpoch.seconds), nanoseconds: sourceDateEpoch.nanos } }),
      });
      return { diff: toDescriptor(layer) };
    },
  });
