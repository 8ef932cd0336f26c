import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  Leases as LeasesApi,
  LeaseSchema,
  ListResponseSchema,
} from '#proto/gen/containerd/services/leases/v1/leases_pb.ts';
import type { Lease, Leases } from '#services/leases.ts';
import { grpcService, type GrpcService } from '#wire/grpc-service.ts';
import { repeated } from '#wire/repeated.ts';
import { callOf } from './call.ts';
import { needed, toTimestamp } from './convert.ts';

export const leasesService = (leases: Leases): GrpcService =>
  grpcService(LeasesApi, {
    create: async (request, call) => ({
      lease: toLease(await leases.create(callOf(call), request.id, request.labels)),
    }),
    delete: async (request, call) => {
      await leases.delete(callOf(call), request.id, { sync: request.sync });
      return {};
    },
    list: (request, call) =>
      repeated(ListResponseSchema, 'leases', LeaseSchema, leases.list(callOf(call), request.filters).map(toLease)),
    addResource: async (request, call) => {
      const { id, type } = needed(request.resource, 'Resource');
      await leases.addResource(callOf(call), request.id, { id, type });
      return {};
    },
    deleteResource: async (request, call) => {
      const { id, type } = needed(request.resource, 'Resource');
      await leases.deleteResource(callOf(call), request.id, { id, type });
      return {};
    },
    listResources: (request, call) => ({
      resources: leases.resources(callOf(call), request.id).map(({ id, type }) => ({ id, type })),
    }),
  });

const toLease = (lease: Lease): MessageInitShape<typeof LeaseSchema> => ({
  id: lease.id,
  createdAt: toTimestamp(lease.createdAt),
  labels: { ...lease.labels },
});
