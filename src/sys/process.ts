import { readFileSync } from 'node:fs';
import { check, lastErrno, libc } from './libc.ts';

const prctlCall = libc(
  'int prctl(int option, unsigned long value, unsigned long third, unsigned long fourth, unsigned long fifth)',
);
const waitidCall = libc('int waitid(int type, int id, void *info, int options)');
const rlimitCall = libc('int prlimit(int pid, int resource, void *next, void *previous)');

/** Makes this process the parent of orphans below it (prctl PR_SET_CHILD_SUBREAPER). */
export function becomeSubreaper(): void {
  const PR_SET_CHILD_SUBREAPER = 36;
  check(prctlCall(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 'prctl', 'PR_SET_CHILD_SUBREAPER');
}

/** A child that has ended: its exit code, or 128 plus the signal. */
export interface Ended {
  readonly pid: number;
  readonly status: number;
}

const P_ALL = 0;
const P_PID = 1;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x1000000;
const CLD_EXITED = 1;

function wait(type: number, id: number, options: number): Ended | undefined {
  const info = new Int32Array(32);
  const result = waitidCall(type, id, info, options);
  if (result === -1 && lastErrno() === 'ECHILD') return undefined;
  check(result, 'waitid', String(id));
  // siginfo_t on 64-bit Linux: code at 8, pid at 16, status at 24; a pid of 0 means that nobody has ended.
  const pid = info[4]!;
  if (pid === 0) return undefined;
  return { pid, status: info[2] === CLD_EXITED ? info[6]! : 128 + (info[6]! & 0x7f) };
}

/** A child that has ended, left as a zombie: whoever started it through libuv must find it there. */
export const peekEnded = (): Ended | undefined => wait(P_ALL, 0, WEXITED | WNOHANG | WNOWAIT);

/** Reaps one child by its pid, and no other. */
export const reap = (pid: number): Ended | undefined => wait(P_PID, pid, WEXITED | WNOHANG);

export interface ProcessStat {
  readonly state: string;
  readonly parent: number;
  /** Ticks since boot: together with the pid it names a process for ever. */
  readonly startTime: number;
  /** The wait status of a zombie, for readers that may trace it. */
  readonly exitCode: number;
}

/** /proc/PID/stat (proc_pid_stat(5)); undefined when there is no such process. */
export function processStat(pid: number): ProcessStat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The name in brackets may hold anything, so fields are counted from the last bracket: the next one is the third.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0]!, parent: Number(fields[1]), startTime: Number(fields[19]), exitCode: Number(fields[49]) };
}

/** True while this very process runs; a zombie does not. */
export function isAlive(pid: number, startTime: number): boolean {
  const stat = processStat(pid);
  return stat !== undefined && stat.startTime === startTime && stat.state !== 'Z' && stat.state !== 'X';
}

const RLIMIT_NOFILE = 7;

/**
 * Runs `body` with a lower soft limit of open files and puts it back. Node raises its own, and children inherit it:
 * a start of a process goes in here. Nothing in `body` may wait.
 */
export function withSoftFileLimit<T>(soft: number, body: () => T): T {
  const before = new BigUint64Array(2);
  check(rlimitCall(0, RLIMIT_NOFILE, null, before), 'prlimit', 'RLIMIT_NOFILE');
  const hard = before[1]!;
  const wanted = BigInt(soft) < hard ? BigInt(soft) : hard;
  check(rlimitCall(0, RLIMIT_NOFILE, new BigUint64Array([wanted, hard]), null), 'prlimit', 'RLIMIT_NOFILE');
  try {
    return body();
  } finally {
    rlimitCall(0, RLIMIT_NOFILE, before, null);
  }
}

/** Whether this process has a capability in effect; numbers as in linux/capability.h. */
export function hasCapability(number: number): boolean {
  const line = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'latin1'));
  return line !== null && ((BigInt(`0x${line[1]}`) >> BigInt(number)) & 1n) === 1n;
}

export const CAP_SYS_RESOURCE = 24;
