import { readFile } from 'node:fs/promises';
import { always, architectures, byArchitecture, byCapability, dockerOnly } from '#base/seccomp-syscalls.ts';
import { HakoError, invalid, messageOf } from '#base/errors.ts';
import { hostPlatform } from '#base/platforms.ts';

interface Argument {
  readonly index: number;
  readonly value: number;
  readonly valueTwo?: number;
  readonly op: string;
}

interface Rule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly Argument[];
}

/** `linux.seccomp` of the OCI runtime spec. */
export interface Seccomp {
  readonly defaultAction: string;
  readonly architectures: readonly string[];
  readonly syscalls: readonly Rule[];
}

const ENOSYS = 38;
const AF_VSOCK = 40;
/** The personalities a container may take: Linux, UNAME26, ADDR_NO_RANDOMIZE's relatives, and the question for its own. */
const personalities = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];
/** CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}: none of them without CAP_SYS_ADMIN. */
const namespaceFlags = 0x7e020000;

const allow = (names: readonly string[], ...args: Argument[]): Rule => ({
  names: names.filter((name) => !dockerOnly.has(name)),
  action: 'SCMP_ACT_ALLOW',
  ...(args.length === 0 ? {} : { args }),
});

/** The profile of containerd 2.1 for who may hold `capabilities`. What it does not allow fails with EPERM. */
export function defaultSeccomp(capabilities: readonly string[], architecture = hostPlatform().architecture): Seccomp {
  const rules: Rule[] = [
    allow(always),
    allow(['socket'], { index: 0, value: AF_VSOCK, op: 'SCMP_CMP_NE' }),
    ...personalities.map((value) => allow(['personality'], { index: 0, value, op: 'SCMP_CMP_EQ' })),
    allow(['process_vm_readv', 'process_vm_writev', 'ptrace']),
    allow(byArchitecture[architecture] ?? []),
    ...capabilities.map((capability) => allow(byCapability[capability] ?? [])),
  ];
  if (!capabilities.includes('CAP_SYS_ADMIN')) {
    // s390 has clone's flags second.
    const index = architecture === 's390x' ? 1 : 0;
    rules.push(allow(['clone'], { index, value: namespaceFlags, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }));
    // libc falls back to clone, whose flags a filter can look at.
    rules.push({ names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS });
  }
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    architectures: architectures[architecture] ?? [],
    syscalls: rules.filter((rule) => rule.names.length > 0),
  };
}

/** A profile in the runtime spec's own format, from a file. */
export async function readSeccomp(path: string): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new HakoError('not-found', `cannot load seccomp profile "${path}": ${messageOf(error)}`);
  });
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw invalid(`seccomp profile "${path}" is not JSON: ${messageOf(error)}`, error);
  }
}
