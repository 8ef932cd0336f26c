import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import path from 'node:path';
import { codeless, invalid } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { Any } from '#core/any.ts';
import { OptionsSchema, type Options } from '#proto/gen/containerd/runc/v1/options_pb.ts';

/** containerd.runc.v1.Options as they came, with the binary that the runtime's name stands for. */
export function runtimeOptions(
  runtime: { readonly name: string; readonly options?: Any },
  { logger, defaultBinary = 'runc' }: { readonly logger: Logger; readonly defaultBinary?: string },
): Options {
  const { name, options } = runtime;
  const known = options !== undefined && options.typeUrl.endsWith(OptionsSchema.typeName);
  if (options !== undefined && !known && options.value.length > 0) {
    logger.log('warn', 'runtime options of an unknown type are passed over', { type: options.typeUrl });
  }
  const parsed = known ? read(options.value) : create(OptionsSchema);
  if (parsed.binaryName === '') parsed.binaryName = binaryOf(name) ?? defaultBinary;
  return parsed;
}

/** As the shim takes them. */
export const packedOptions = (options: Options): Any => ({
  typeUrl: OptionsSchema.typeName,
  value: toBinary(OptionsSchema, options),
});

function read(bytes: Uint8Array): Options {
  try {
    return fromBinary(OptionsSchema, bytes);
  } catch {
    throw codeless('proto: cannot parse invalid wire-format data');
  }
}

/** `crun` of `crun` or `io.containerd.crun.v2`; undefined for the default runtime. */
function binaryOf(name: string): string | undefined {
  if (path.isAbsolute(name)) return name;
  const word = /^io\.containerd\.([^.]+)\.v\d+$/.exec(name)?.[1] ?? name;
  if (word === '' || word === 'runc') return undefined;
  // It is looked up on the PATH: what has a slash would be a program in whatever directory we are in.
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.+-]*$/.test(word))
    throw invalid(
      `failed to resolve runtime path: invalid runtime name ${name}: want one like "io.containerd.runc.v2", or the full path of a runtime`,
    );
  return word;
}
