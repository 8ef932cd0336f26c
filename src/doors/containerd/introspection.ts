import type { MessageInitShape } from '@bufbuild/protobuf';
import { notFound, unimplemented } from '#base/errors.ts';
import { filterItems } from '#base/filters.ts';
import {
  Introspection as IntrospectionApi,
  type PluginSchema,
} from '#proto/gen/containerd/services/introspection/v1/introspection_pb.ts';
import type { Introspection, PluginStatus } from '#services/introspection.ts';
import { grpcService, type GrpcService } from '#wire/grpc-service.ts';

export const introspectionService = (introspection: Introspection): GrpcService =>
  grpcService(IntrospectionApi, {
    plugins: (request) => ({
      plugins: filterItems(introspection.plugins(), request.filters, pluginField).map(toPlugin),
    }),
    server: () => {
      const { uuid, pid, pidns } = introspection.server();
      return { uuid, pid: BigInt(pid), pidns: BigInt(pidns) };
    },
    pluginInfo: (request) => {
      const plugin = introspection.plugins().find(({ type, id }) => type === request.type && id === request.id);
      if (plugin === undefined) throw notFound('plugin', `${request.type}.${request.id}`);
      if (request.options !== undefined) throw unimplemented('asking a plugin about itself (PluginInfo with options)');
      return { plugin: toPlugin(plugin) };
    },
  });

function pluginField(plugin: PluginStatus, [first]: readonly string[]): string | undefined {
  if (first === 'type') return plugin.type;
  return first === 'id' ? plugin.id : undefined;
}

const toPlugin = (plugin: PluginStatus): MessageInitShape<typeof PluginSchema> => ({
  type: plugin.type,
  id: plugin.id,
  requires: [...plugin.requires],
  platforms: plugin.platforms.map(({ os, architecture }) => ({ os, architecture })),
  exports: { ...plugin.exports },
  capabilities: [...plugin.capabilities],
  ...(plugin.error !== undefined && { initErr: { code: plugin.error.code, message: plugin.error.message } }),
});
