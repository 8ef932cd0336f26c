import { check, lastErrno, libc } from './libc.ts';
import { closeFd } from './fd.ts';

const openCall = libc('long syscall(long number, int pid, unsigned int flags)');
const getfdCall = libc('long syscall(long number, int pidfd, int fd, unsigned int flags)');
const ioctlCall = libc('int ioctl(int fd, unsigned long request, void *argument)');

const SYS_pidfd_open = 434;
const SYS_pidfd_getfd = 438;

/** A descriptor of a process, readable once it has ended (Linux 5.3). ESRCH when it is gone. */
export const pidfdOpen = (pid: number): number => check(openCall(SYS_pidfd_open, pid, 0), 'pidfd_open', String(pid));

/** A copy of another process's descriptor (Linux 5.6); needs the right to trace it. */
export function descriptorOf(pid: number, fd: number): number {
  const pidfd = pidfdOpen(pid);
  try {
    return check(getfdCall(SYS_pidfd_getfd, pidfd, fd, 0), 'pidfd_getfd', `${pid}:${fd}`);
  } finally {
    closeFd(pidfd);
  }
}

/**
 * How a process that is no child of ours ended: known once its parent has reaped it (PIDFD_GET_INFO with
 * PIDFD_INFO_EXIT, Linux 6.15). Undefined when the kernel cannot say.
 */
export function exitOf(pidfd: number): number | undefined {
  const PIDFD_INFO_EXIT = 8n;
  const size = 64;
  const PIDFD_GET_INFO = 0xc000ff0b + size * 0x10000;
  const info = new DataView(new ArrayBuffer(size));
  info.setBigUint64(0, PIDFD_INFO_EXIT, true);
  if (ioctlCall(pidfd, PIDFD_GET_INFO, new Uint8Array(info.buffer)) === -1) {
    lastErrno();
    return undefined;
  }
  if ((info.getBigUint64(0, true) & PIDFD_INFO_EXIT) === 0n) return undefined;
  return statusOfWait(info.getInt32(60, true));
}

/** The exit code in a wait status (wait(2)), or 128 plus the signal. */
export const statusOfWait = (status: number): number =>
  (status & 0x7f) === 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f);
