import { unimplemented } from '#base/errors.ts';
import { Diff as DiffApi } from '#proto/gen/containerd/services/diff/v1/diff_pb.ts';
import type { Diffs } from '#services/diffs.ts';
import { grpcService, type GrpcService } from '#wire/grpc-service.ts';
import { callOf } from './call.ts';
import { fromDescriptor, fromMount, toDescriptor } from './convert.ts';

export const diffService = (diffs: Diffs): GrpcService =>
  grpcService(DiffApi, {
    apply: async (request, call) => {
      const layer = fromDescriptor(request.diff, 'diff');
      return { applied: toDescriptor(await diffs.apply(callOf(call), layer, request.mounts.map(fromMount))) };
    },
    diff: () => {
      throw unimplemented('making a layer from mounts (Diff.Diff)');
    },
  });
