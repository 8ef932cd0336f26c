import { check, libc } from './libc.ts';

const ioctlCall = libc('int ioctl(int fd, unsigned long request, void *argument)');

/** Sets the size of a terminal by its master; the processes in it get SIGWINCH (ioctl_tty(2)). */
export function resizePty(master: number, size: { readonly width: number; readonly height: number }): void {
  const TIOCSWINSZ = 0x5414;
  check(ioctlCall(master, TIOCSWINSZ, new Uint16Array([size.height, size.width, 0, 0])), 'ioctl', 'TIOCSWINSZ');
}
