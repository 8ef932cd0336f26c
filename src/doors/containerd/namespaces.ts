import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  Namespaces as NamespacesApi,
  type NamespaceSchema,
} from '#proto/gen/containerd/services/namespaces/v1/namespaces_pb.ts';
import type { Namespace, Namespaces } from '#services/namespaces.ts';
import { grpcService, type GrpcService } from '#wire/grpc-service.ts';
import { needed, paths } from './convert.ts';

/** The one service whose calls need no namespace of their own. */
export const namespacesService = (namespaces: Namespaces): GrpcService =>
  grpcService(NamespacesApi, {
    get: (request) => ({ namespace: toNamespace(namespaces.get(request.name)) }),
    list: () => ({ namespaces: namespaces.list().map(toNamespace) }),
    create: async (request) => {
      const { name, labels } = needed(request.namespace, 'Namespace');
      return { namespace: toNamespace(await namespaces.create({ name, labels })) };
    },
    update: async (request) => {
      const { name, labels } = needed(request.namespace, 'Namespace');
      return { namespace: toNamespace(await namespaces.update({ name, labels }, paths(request.updateMask))) };
    },
    delete: async (request) => {
      await namespaces.delete(request.name);
      return {};
    },
  });

const toNamespace = ({ name, labels }: Namespace): MessageInitShape<typeof NamespaceSchema> => ({
  name,
  labels: { ...labels },
});
