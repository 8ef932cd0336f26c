import { readFileSync, statfsSync } from 'node:fs';
import os from 'node:os';
import { hostPlatform } from '#base/platforms.ts';
import { capabilitiesOfMask } from './capabilities.ts';

/** What a spec must know about the machine and the daemon that will start it. */
export interface HostFacts {
  /** Go's words: `amd64`. */
  readonly architecture: string;
  /** 2 where /sys/fs/cgroup is the unified tree; a hybrid one counts as 1, as runc sees it. */
  readonly cgroupVersion: 1 | 2;
  /** What the daemon may hand down. */
  readonly capabilities: readonly string[];
  /** The daemon's own oom_score_adj: without CAP_SYS_RESOURCE nothing it starts may go below. */
  readonly oomScoreAdj: number;
  /** Major and minor, such as 6.18. */
  readonly kernel: readonly [number, number];
}

const CGROUP2_SUPER_MAGIC = 0x63677270;

export function hostFacts(): HostFacts {
  const mask = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const [major = 0, minor = 0] = os
    .release()
    .split('.')
    .map((part) => Number.parseInt(part, 10));
  return {
    architecture: hostPlatform().architecture,
    cgroupVersion: statfsSync('/sys/fs/cgroup').type === CGROUP2_SUPER_MAGIC ? 2 : 1,
    capabilities: capabilitiesOfMask(BigInt(`0x${mask}`)),
    oomScoreAdj: Number(readFileSync('/proc/self/oom_score_adj', 'utf8').trim()),
    kernel: [major, minor],
  };
}
