import type { IdMapping } from './types.ts';

/** What an image's configuration says of its containers (OCI image-spec, config.md). */
export interface ImageConfig {
  readonly User?: string;
  readonly Env?: readonly string[] | null;
  readonly Entrypoint?: readonly string[] | null;
  readonly Cmd?: readonly string[] | null;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>> | null;
  readonly StopSignal?: string;
}

/** What a container's spec is to be like: the flags of `run`, read. What is left out is as containerd has it. */
export interface SpecRequest {
  readonly namespace: string;
  readonly id: string;
  /** undefined for a root file system of the caller's own. */
  readonly image?: ImageConfig | undefined;
  /** Absolute path of a root file system that is no snapshot. */
  readonly rootfs?: string | undefined;
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  /** Read before `env`. */
  readonly envFile?: string | undefined;
  /** As written: `type=bind,src=…`. */
  readonly mounts?: readonly string[];
  readonly cwd?: string | undefined;
  readonly user?: string | undefined;
  readonly tty?: boolean;
  readonly readOnly?: boolean;
  readonly privileged?: boolean;
  readonly privilegedWithoutHostDevices?: boolean;
  readonly netHost?: boolean;
  readonly allowNewPrivileges?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly capAdd?: readonly string[];
  readonly capDrop?: readonly string[];
  readonly seccomp?: boolean;
  readonly seccompProfile?: string | undefined;
  readonly apparmorProfile?: string | undefined;
  readonly cpus?: number | undefined;
  readonly cpuShares?: number | undefined;
  readonly cpuQuota?: number | undefined;
  readonly cpuPeriod?: number | undefined;
  readonly cpusetCpus?: string | undefined;
  readonly cpusetMems?: string | undefined;
  readonly memoryLimit?: number | undefined;
  readonly rlimitNofile?: { readonly soft: number; readonly hard: number } | undefined;
  readonly devices?: readonly string[];
  /** Namespaces to join: `network:/proc/1/ns/net`. */
  readonly withNs?: readonly string[];
  /** Undefined is `/NAMESPACE/ID`; an empty one none. */
  readonly cgroup?: string | undefined;
  readonly rootfsPropagation?: string | undefined;
  readonly rdtClass?: string | undefined;
  readonly hostname?: string | undefined;
  readonly uidMappings?: readonly IdMapping[];
  readonly gidMappings?: readonly IdMapping[];
}
