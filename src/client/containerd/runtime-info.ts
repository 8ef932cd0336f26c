import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { HakoError } from '#base/errors.ts';
import { OptionsSchema } from '#proto/gen/containerd/runc/v1/options_pb.ts';
import { RuntimeInfoSchema, RuntimeRequestSchema } from '#proto/gen/containerd/types/introspection_pb.ts';
import { OptionsSchema as GenericOptionsSchema } from '#proto/gen/runtimeoptions/v1/options_pb.ts';
import type { Containerd } from '../containerd.ts';
import { introspection } from './introspection.ts';
import { plainBytes } from './plain-message.ts';

export const defaultRuntime = 'io.containerd.runc.v2';

export interface RuntimeQuery {
  readonly runtime: string;
  readonly configPath?: string | undefined;
  readonly binary?: string | undefined;
  readonly root?: string | undefined;
}

/** What a runtime's shim says of itself, in the shape that `ctr` prints. */
export async function runtimeInfo(door: Containerd, query: RuntimeQuery): Promise<object> {
  const request = create(RuntimeRequestSchema, { runtimePath: query.runtime, ...optionsOf(query) });
  const { extra } = await introspection(door).pluginInfo({
    type: 'io.containerd.runtime.v2',
    id: 'task',
    options: { typeUrl: RuntimeRequestSchema.typeName, value: toBinary(RuntimeRequestSchema, request) },
  });
  if (extra === undefined || !extra.typeUrl.endsWith(RuntimeInfoSchema.typeName))
    throw new HakoError('unimplemented', `the daemon tells nothing of runtime "${query.runtime}"`);
  const { name, version, options, features, annotations } = fromBinary(RuntimeInfoSchema, extra.value);
  return {
    Name: name,
    Version: { Version: version?.version ?? '', Revision: version?.revision ?? '' },
    Options: plainAny(options),
    Features: plainAny(features),
    Annotations: Object.keys(annotations).length === 0 ? null : annotations,
  };
}

function optionsOf({ runtime, configPath, binary, root }: RuntimeQuery): {
  options?: { typeUrl: string; value: Uint8Array };
} {
  if (runtime === defaultRuntime) {
    const value = toBinary(OptionsSchema, create(OptionsSchema, { binaryName: binary ?? '', root: root ?? '' }));
    return { options: { typeUrl: OptionsSchema.typeName, value } };
  }
  if (configPath === undefined || configPath === '') return {};
  const value = toBinary(GenericOptionsSchema, create(GenericOptionsSchema, { configPath }));
  return { options: { typeUrl: GenericOptionsSchema.typeName, value } };
}

/** What is inside: a message that we know, or else the JSON that containerd wraps what is no message in. */
function plainAny(any: Any | undefined): unknown {
  if (any === undefined) return null;
  const schema = [OptionsSchema, GenericOptionsSchema].find(({ typeName }) => any.typeUrl.endsWith(typeName));
  if (schema !== undefined) return plainBytes(schema, any.value);
  try {
    return JSON.parse(Buffer.from(any.value).toString()) as unknown;
  } catch {
    return { type_url: any.typeUrl, value: Buffer.from(any.value).toString('base64') };
  }
}
