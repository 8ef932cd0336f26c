import { create, fromBinary, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import type { Any as AnyMessage } from '@bufbuild/protobuf/wkt';
import { codeless } from '#base/errors.ts';
import { filterItems } from '#base/filters.ts';
import {
  RuntimeInfoSchema,
  RuntimeRequestSchema,
  type RuntimeRequest,
} from '#proto/gen/containerd/types/introspection_pb.ts';
import {
  Introspection as IntrospectionApi,
  type PluginInfoRequest,
  type PluginInfoResponseSchema,
  type PluginSchema,
} from '#proto/gen/containerd/services/introspection/v1/introspection_pb.ts';
import type { Introspection, PluginStatus } from '#services/introspection.ts';
import { grpcService, type GrpcCall, type GrpcService } from '#wire/grpc-service.ts';
import { fromAny, toAny } from './convert.ts';

export const introspectionService = (introspection: Introspection): GrpcService =>
  grpcService(IntrospectionApi, {
    plugins: (request) => ({
      plugins: filterItems(introspection.plugins(), request.filters, pluginField).map(toPlugin),
    }),
    server: () => {
      const { uuid, pid, pidns } = introspection.server();
      return { uuid, pid: BigInt(pid), pidns: BigInt(pidns) };
    },
    pluginInfo: (request, call) => pluginInfo(introspection, request, call),
  });

async function pluginInfo(
  introspection: Introspection,
  { type, id, options }: PluginInfoRequest,
  call: GrpcCall,
): Promise<MessageInitShape<typeof PluginInfoResponseSchema>> {
  const asked = options === undefined ? undefined : runtimeRequest(options);
  const plugin = introspection.plugin(type, id);
  if (asked === undefined) return { plugin: toPlugin(plugin) };
  return { plugin: toPlugin(plugin), extra: await runtimeInfo(introspection, plugin, asked, call) };
}

/** Where the Go bindings of the runtime specification say that its JSON is of this type. */
const FEATURES = 'types.containerd.io/opencontainers/runtime-spec/1/features/Features';
const DEFAULT_RUNTIME = 'io.containerd.runc.v2';

async function runtimeInfo(
  introspection: Introspection,
  plugin: PluginStatus,
  { runtimePath, options }: RuntimeRequest,
  call: GrpcCall,
): Promise<AnyMessage> {
  // A client that names no options sends an empty Any for them.
  const given = options === undefined || options.typeUrl === '' ? undefined : fromAny(options);
  const name = runtimePath || DEFAULT_RUNTIME;
  const runtime = { name, ...(given === undefined ? {} : { options: given }) };
  const { features } = await introspection.runtimeFeatures(plugin, runtime, call.signal);
  const info = create(RuntimeInfoSchema, {
    name,
    version: introspection.version(),
    ...(given === undefined ? {} : { options: toAny(given) }),
    ...(features === undefined ? {} : { features: toAny({ typeUrl: FEATURES, value: features }) }),
  });
  return toAny({ typeUrl: RuntimeInfoSchema.typeName, value: toBinary(RuntimeInfoSchema, info) });
}

/** The only options that a plugin takes. */
function runtimeRequest({ typeUrl, value }: AnyMessage): RuntimeRequest {
  if (typeUrl.slice(typeUrl.lastIndexOf('/') + 1) !== RuntimeRequestSchema.typeName) {
    const message = `failed to unmarshal plugin info Options: type with url ${typeUrl}: not found`;
    throw codeless(message);
  }
  try {
    return fromBinary(RuntimeRequestSchema, value);
  } catch {
    throw codeless('failed to unmarshal plugin info Options: proto: cannot parse invalid wire-format data');
  }
}

function pluginField(plugin: PluginStatus, [first]: readonly string[]): string | undefined {
  if (first === 'type') return plugin.type;
  return first === 'id' ? plugin.id : undefined;
}

const toPlugin = (plugin: PluginStatus): MessageInitShape<typeof PluginSchema> => ({
  type: plugin.type,
  id: plugin.id,
  requires: [...plugin.requires],
  platforms: plugin.platforms.map((platform) => ({ ...platform })),
  exports: { ...plugin.exports },
  capabilities: [...plugin.capabilities],
  ...(plugin.error !== undefined && { initErr: { code: plugin.error.code, message: plugin.error.message } }),
});
