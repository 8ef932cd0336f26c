import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Container } from '#core/containers.ts';
import {
  Containers as ContainersApi,
  type Container as ContainerMessage,
  ContainerSchema,
  ListContainersResponseSchema,
} from '#proto/gen/containerd/services/containers/v1/containers_pb.ts';
import type { Containers, NewContainer } from '#services/containers.ts';
import { grpcService, type GrpcService } from '#wire/grpc-service.ts';
import { repeated } from '#wire/repeated.ts';
import { callOf } from './call.ts';
import { containerBytes } from './container-bytes.ts';
import { fromAny, needed, optionalAny, paths, toAny, toTimestamp } from './convert.ts';

export const containersService = (containers: Containers): GrpcService =>
  grpcService(ContainersApi, {
    get: (request, call) => ({ container: toContainer(containers.get(callOf(call), request.id)) }),
    list: (request, call) =>
      repeated(
        ListContainersResponseSchema,
        'containers',
        ContainerSchema,
        containers.list(callOf(call), request.filters).map(containerBytes),
      ),
    listStream: async function* (request, call) {
      for (const container of containers.list(callOf(call), request.filters))
        yield { container: toContainer(container) };
    },
    create: async (request, call) => {
      const container = fromContainer(needed(request.container, 'Container'));
      return { container: toContainer(await containers.create(callOf(call), container)) };
    },
    update: async (request, call) => {
      const container = fromContainer(needed(request.container, 'Container'));
      return { container: toContainer(await containers.update(callOf(call), container, paths(request.updateMask))) };
    },
    delete: async (request, call) => {
      await containers.delete(callOf(call), request.id);
      return {};
    },
  });

export function toContainer(container: Container): MessageInitShape<typeof ContainerSchema> {
  const { runtime, spec, extensions } = container;
  return {
    id: container.id,
    labels: { ...container.labels },
    image: container.image,
    runtime: { name: runtime.name, ...(runtime.options !== undefined && { options: toAny(runtime.options) }) },
    ...(spec !== undefined && { spec: toAny(spec) }),
    snapshotter: container.snapshotter,
    snapshotKey: container.snapshotKey,
    createdAt: toTimestamp(container.createdAt),
    updatedAt: toTimestamp(container.updatedAt),
    extensions: Object.fromEntries(Object.entries(extensions).map(([name, any]) => [name, toAny(any)])),
    sandbox: container.sandbox,
  };
}

function fromContainer(message: ContainerMessage): NewContainer {
  const spec = optionalAny(message.spec);
  const options = optionalAny(message.runtime?.options);
  return {
    id: message.id,
    image: message.image,
    labels: message.labels,
    ...(spec !== undefined && { spec }),
    runtime: { name: message.runtime?.name ?? '', ...(options !== undefined && { options }) },
    snapshotter: message.snapshotter,
    snapshotKey: message.snapshotKey,
    sandbox: message.sandbox,
    extensions: Object.fromEntries(Object.entries(message.extensions).map(([name, any]) => [name, fromAny(any)])),
  };
}
