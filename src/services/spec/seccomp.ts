import { invalid } from '#base/errors.ts';
import { always, architectures, byArchitecture, byCapability } from '#base/seccomp-syscalls.ts';

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
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[];
  readonly syscalls?: readonly Rule[];
}

const EPERM = 1;
const ENOSYS = 38;
const AF_ALG = 38;
const AF_VSOCK = 40;
/** The personalities a container may take: Linux, UNAME26, ADDR_NO_RANDOMIZE's relatives, and the question for its own. */
const personalities = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];
/** CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}: none of them without CAP_SYS_ADMIN. */
const namespaceFlags = 0x7e020000;

const allow = (names: readonly string[], ...args: Argument[]): Rule => ({
  names,
  action: 'SCMP_ACT_ALLOW',
  ...(args.length === 0 ? {} : { args }),
});

/**
 * The default profile for who holds `capabilities` on a machine of `architecture` (Go's words). What it does not allow
 * fails with EPERM; clone3 with ENOSYS, so that libc falls back to clone, whose flags can be looked at. The kernel is
 * 4.8 or newer, where ptrace no longer gets around a filter. undefined where we know no such architecture.
 */
export function defaultSeccomp(capabilities: readonly string[], architecture: string): Seccomp | undefined {
  const known = architectures[architecture];
  if (known === undefined) return undefined;
  const held = new Set(capabilities);
  const rules: Rule[] = [
    allow(always),
    allow(['process_vm_readv', 'process_vm_writev', 'ptrace']),
    // Every family but AF_ALG and AF_VSOCK, which reach what no namespace separates.
    allow(['socket'], { index: 0, value: AF_ALG, op: 'SCMP_CMP_LT' }),
    allow(['socket'], { index: 0, value: AF_ALG + 1, op: 'SCMP_CMP_EQ' }),
    allow(['socket'], { index: 0, value: AF_VSOCK, op: 'SCMP_CMP_GT' }),
    ...personalities.map((value) => allow(['personality'], { index: 0, value, op: 'SCMP_CMP_EQ' })),
    allow(byArchitecture[architecture] ?? []),
  ];
  for (const [capability, names] of Object.entries(byCapability)) if (held.has(capability)) rules.push(allow(names));
  if (!held.has('CAP_SYS_ADMIN')) {
    // s390 has clone's flags second.
    const index = architecture === 's390x' ? 1 : 0;
    rules.push(allow(['clone'], { index, value: namespaceFlags, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }));
    rules.push({ names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS });
  }
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: EPERM,
    architectures: known,
    syscalls: rules.filter((rule) => rule.names.length > 0),
  };
}

interface ProfileRule {
  readonly name?: string;
  readonly names?: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly Argument[] | null;
  readonly includes?: Condition;
  readonly excludes?: Condition;
}

interface Condition {
  readonly caps?: readonly string[];
  readonly arches?: readonly string[];
  readonly minKernel?: string;
}

/** Reads a profile in Docker's format (`--security-opt seccomp=FILE`; the client sends the file's text). */
export function parseSeccompProfile(text: string, capabilities: readonly string[], architecture: string): Seccomp {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (error) {
    throw invalid(`Decoding seccomp profile failed: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  if (typeof raw !== 'object' || raw === null || !('defaultAction' in raw) || typeof raw.defaultAction !== 'string') {
    throw invalid('Decoding seccomp profile failed: it has no "defaultAction"');
  }
  const profile = raw as {
    defaultAction: string;
    defaultErrnoRet?: number;
    architectures?: string[];
    syscalls?: ProfileRule[];
  };
  const held = new Set(capabilities);
  const applies = ({ includes = {}, excludes = {} }: ProfileRule): boolean =>
    (includes.arches === undefined || includes.arches.includes(architecture)) &&
    (includes.caps ?? []).every((capability) => held.has(capability)) &&
    !(excludes.arches ?? []).includes(architecture) &&
    !(excludes.caps ?? []).some((capability) => held.has(capability));
  const known = profile.architectures ?? architectures[architecture];
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    ...(known === undefined ? {} : { architectures: known }),
    syscalls: (profile.syscalls ?? []).filter(applies).map((rule) => ({
      names: rule.names ?? (rule.name === undefined ? [] : [rule.name]),
      action: rule.action,
      ...(rule.errnoRet === undefined ? {} : { errnoRet: rule.errnoRet }),
      ...(rule.args === undefined || rule.args === null ? {} : { args: rule.args }),
    })),
  };
}
