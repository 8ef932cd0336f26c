import { closeSync } from 'node:fs';
import { HakoError } from '#base/errors.ts';
import { check, libc } from './libc.ts';

const socket = libc('int socket(int domain, int type, int protocol)');
const sendto = libc(
  'long sendto(int fd, const void *data, size_t length, int flags, const void *to, unsigned int size)',
);

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const MSG_NOSIGNAL = 0x4000;

/** Sends one datagram to a unix socket; an address that begins with `@` is an abstract one (unix(7)). Never waits. */
export function sendDatagram(address: string, data: string): void {
  const name = Buffer.from(address.startsWith('@') ? `\0${address.slice(1)}` : `${address}\0`);
  // struct sockaddr_un: a family of two bytes, then at most 108 bytes of path.
  if (name.length > 108) throw new HakoError('invalid-argument', `unix socket "${address}": the path is too long`);
  const to = Buffer.concat([Buffer.from(new Uint16Array([AF_UNIX]).buffer), name]);
  const body = Buffer.from(data);
  const fd = check(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), 'socket', address);
  try {
    check(sendto(fd, body, body.length, MSG_NOSIGNAL, to, to.length), 'sendto', address);
  } finally {
    closeSync(fd);
  }
}
