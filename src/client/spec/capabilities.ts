import { readFile } from 'node:fs/promises';
import { invalid } from '#base/errors.ts';
import type { Capabilities } from './types.ts';

/** By their numbers (linux/capability.h). */
const names: readonly string[] = `
  CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
  NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
  SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
  MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
`
  .trim()
  .split(/\s+/)
  .map((name) => `CAP_${name}`);

/** The capabilities that this very process has in effect: a privileged container gets no more. */
export async function ownCapabilities(): Promise<string[]> {
  const status = await readFile('/proc/self/status', 'latin1');
  const mask = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return names.filter((_, number) => ((mask >> BigInt(number)) & 1n) === 1n);
}

/** Throws for a word without its prefix: that one would be ignored in silence. */
export function checkCapabilities(flag: string, words: readonly string[]): void {
  const bare = words.find((word) => !word.startsWith('CAP_'));
  if (bare !== undefined) throw invalid(`capability "${bare}" of --${flag}: must begin with "CAP_"`);
}

const rights = ['bounding', 'effective', 'permitted'] as const;

/** Each set without `drop`, with `add`. */
export function changeCapabilities(held: Capabilities, add: readonly string[], drop: readonly string[]): void {
  for (const right of rights) {
    const own = [...(held[right] ?? [])];
    for (const one of add) if (!own.includes(one)) own.push(one);
    set(
      held,
      right,
      own.filter((one) => !drop.includes(one)),
    );
  }
  if (held.inheritable !== undefined)
    set(
      held,
      'inheritable',
      held.inheritable.filter((one) => !drop.includes(one)),
    );
}

/** Exactly these, in every set that a new process starts from. */
export function setCapabilities(held: Capabilities, words: readonly string[]): void {
  for (const right of rights) set(held, right, [...words]);
}

function set(held: Capabilities, right: keyof Capabilities, words: string[]): void {
  if (words.length === 0) delete held[right];
  else held[right] = words;
}
