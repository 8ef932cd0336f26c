import { closeSync, openSync } from 'node:fs';
import { serveThread } from '#base/threads.ts';
import { check, libc } from '#sys/libc.ts';
import { mountAt } from '#sys/mount.ts';

/**
 * A thread that makes network namespaces: unshare(2) moves only the thread that calls it, so the daemon stays where it is.
 * It goes back to the host's after each, or whatever thread it starts (getaddrinfo's, say) would live in a container's.
 */

const unshareCall = libc('int unshare(int flags)');
const setnsCall = libc('int setns(int fd, int type)');
const socketCall = libc('int socket(int domain, int type, int protocol)');
const closeCall = libc('int close(int fd)');
const ioctlCall = libc('int ioctl(int fd, unsigned long request, void *argument)');

const CLONE_NEWNET = 0x40000000;
const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const IFF_UP = 1;
const own = '/proc/thread-self/ns/net';

serveThread(({ path }: { path: string }) => {
  const home = openSync(own, 'r');
  try {
    check(unshareCall(CLONE_NEWNET), 'unshare', 'network');
    try {
      loopbackUp();
      mountAt({ type: 'bind', source: own, options: ['bind'] }, path);
    } finally {
      check(setnsCall(home, CLONE_NEWNET), 'setns', own);
    }
  } finally {
    closeSync(home);
  }
});

/** struct ifreq (netdevice(7)): 16 bytes of name, then the flags. */
function loopbackUp(): void {
  const request = Buffer.alloc(40);
  request.write('lo');
  const socket = check(socketCall(AF_INET, SOCK_DGRAM_CLOEXEC, 0), 'socket', 'loopback');
  try {
    check(ioctlCall(socket, SIOCGIFFLAGS, request), 'ioctl', 'lo');
    request.writeInt16LE(request.readInt16LE(16) | IFF_UP, 16);
    check(ioctlCall(socket, SIOCSIFFLAGS, request), 'ioctl', 'lo');
  } finally {
    // Node keeps a list of a worker's descriptors, and warns about those it did not open.
    closeCall(socket);
  }
}
