import { invalid } from '#base/errors.ts';

/** linux/capability.h, by number. */
export const allCapabilities: readonly string[] = `
  CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
  NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
  SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
  MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
`
  .trim()
  .split(/\s+/)
  .map((name) => `CAP_${name}`);

/** What Docker gives when nobody says otherwise. */
export const defaultCapabilities: readonly string[] = `
  CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL
  AUDIT_WRITE
`
  .trim()
  .split(/\s+/)
  .map((name) => `CAP_${name}`);

export interface CapabilityRequest {
  readonly add: readonly string[];
  readonly drop: readonly string[];
  readonly privileged: boolean;
}

/**
 * The capabilities a container gets, in the order of their numbers. `available` is what this daemon has itself to give:
 * asking for one beyond it by name is invalid; defaults and ALL are cut down to it.
 */
export function capabilitiesOf({ add, drop, privileged }: CapabilityRequest, available: readonly string[]): string[] {
  const have = new Set(available);
  if (privileged) return allCapabilities.filter((name) => have.has(name));
  const added = add.map((name) => normalize(name, 'CapAdd'));
  const dropped = drop.map((name) => normalize(name, 'CapDrop'));
  for (const name of added) {
    if (name !== 'ALL' && !have.has(name)) throw invalid(`capability "${name}": the daemon does not have it to give`);
  }
  const wanted = new Set(tweak(added, new Set(dropped)));
  return allCapabilities.filter((name) => wanted.has(name) && have.has(name));
}

/** ALL among the added ones beats everything but a drop by name; ALL among the dropped ones leaves what was added. */
function tweak(added: readonly string[], dropped: ReadonlySet<string>): readonly string[] {
  if (added.includes('ALL')) return allCapabilities.filter((name) => !dropped.has(name));
  if (dropped.has('ALL')) return added;
  return [...defaultCapabilities.filter((name) => !dropped.has(name)), ...added];
}

function normalize(name: string, field: string): string {
  const upper = name.toUpperCase();
  if (upper === 'ALL') return upper;
  const full = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  if (!allCapabilities.includes(full)) throw invalid(`invalid ${field}: unknown capability: "${name}"`);
  return full;
}

/** Reads a mask such as `CapBnd` of proc(5). */
export function capabilitiesOfMask(mask: bigint): string[] {
  return allCapabilities.filter((_name, number) => ((mask >> BigInt(number)) & 1n) === 1n);
}
