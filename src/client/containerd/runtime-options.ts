import { invalid } from '#base/errors.ts';
import { OptionsSchema as RuncOptionsSchema } from '#proto/gen/containerd/runc/v1/options_pb.ts';
import { OptionsSchema as RuntimeOptionsSchema } from '#proto/gen/runtimeoptions/v1/options_pb.ts';
import type { AnyWords } from '../spec/spec-json.ts';
import { packAny, unpackAny } from './packing.ts';

export const runcRuntime = 'io.containerd.runc.v2';

export interface RuntimeRequest {
  readonly runtime: string;
  readonly configPath?: string | undefined;
  readonly runcBinary?: string | undefined;
  readonly runcRoot?: string | undefined;
  readonly systemdCgroup?: boolean;
  /** Is a cgroup named? systemd needs one. */
  readonly cgroup?: string | undefined;
}

/** What a container's runtime is told beside the spec; undefined for nothing. */
export function runtimeOptions(request: RuntimeRequest): AnyWords | undefined {
  const { runtime, configPath = '', runcBinary = '', runcRoot = '', systemdCgroup = false, cgroup = '' } = request;
  if (runtime !== runcRuntime) {
    if (runcBinary !== '' || systemdCgroup)
      throw invalid(`--runc-binary and --runc-systemd-cgroup: only runtime "${runcRuntime}" knows them`);
    return configPath === '' ? undefined : packAny(RuntimeOptionsSchema, { configPath });
  }
  if (systemdCgroup && cgroup === '')
    throw invalid('--runc-systemd-cgroup: needs --cgroup as well, for instance "machine.slice:foo:deadbeef"');
  return packAny(RuncOptionsSchema, { binaryName: runcBinary, root: runcRoot, systemdCgroup });
}

export interface TaskOptions {
  readonly noPivot?: boolean;
  /** The host's ids of a user namespace's root: who may open the terminal. */
  readonly ioUid?: number | undefined;
  readonly ioGid?: number | undefined;
}

/** The container's own options with what is to be special about one task; undefined when nothing is. */
export function taskOptions(own: AnyWords | undefined, wanted: TaskOptions): AnyWords | undefined {
  const { noPivot = false, ioUid, ioGid } = wanted;
  if (!noPivot && ioUid === undefined && ioGid === undefined) return undefined;
  const known = unpackAny(RuncOptionsSchema, own);
  if (own !== undefined && own.typeUrl !== '' && known === undefined)
    throw invalid(`options of type "${own.typeUrl}": --no-pivot and user namespaces need a runtime of runc's kind`);
  const { $typeName: _, $unknown: __, ...before } = known ?? { $typeName: undefined, $unknown: undefined };
  return packAny(RuncOptionsSchema, {
    ...before,
    ...(noPivot ? { noPivotRoot: true } : {}),
    ...(ioUid === undefined ? {} : { ioUid }),
    ...(ioGid === undefined ? {} : { ioGid }),
  });
}
