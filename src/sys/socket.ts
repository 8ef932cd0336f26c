import koffi from 'koffi';
import { invalid } from '#base/errors.ts';
import { check, lastErrno, libc } from './libc.ts';
import { closeFd } from './fd.ts';

const socketCall = libc('int socket(int family, int type, int protocol)');
const bindCall = libc('int bind(int fd, void *address, unsigned int size)');
const listenCall = libc('int listen(int fd, int backlog)');
const acceptCall = libc('int accept4(int fd, void *address, void *size, int flags)');
const recvmsgCall = libc('int64_t recvmsg(int fd, void *message, int flags)');

/** sockaddr_un holds 108 bytes with the closing zero (unix(7)). */
export const longestSocketPath = 107;

/** A listening unix socket as a bare descriptor, non-blocking, that no child inherits. The path must be free. */
export function listenUnix(path: string): number {
  const name = Buffer.from(path);
  if (name.length > longestSocketPath)
    throw invalid(`socket "${path}": the path is longer than ${longestSocketPath} bytes`);
  const address = Buffer.alloc(2 + name.length + 1);
  const AF_UNIX = 1;
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  const STREAM_CLOEXEC_NONBLOCK = 1 | 0x80000 | 0x800;
  const fd = check(socketCall(AF_UNIX, STREAM_CLOEXEC_NONBLOCK, 0), 'socket', path);
  try {
    check(bindCall(fd, address, address.length), 'bind', path);
    check(listenCall(fd, 511), 'listen', path);
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

/** Takes a connection that is waiting; undefined when there is none. */
export function acceptNow(fd: number): number | undefined {
  const connection = acceptCall(fd, null, null, 0x80000 | 0x800);
  if (connection === -1 && lastErrno() === 'EAGAIN') return undefined;
  return check(connection, 'accept4', String(fd));
}

/** Takes one descriptor that a peer has sent (SCM_RIGHTS, unix(7)); undefined when no message is waiting. */
export function receiveDescriptor(connection: number): number | undefined {
  const data = new ArrayBuffer(4096);
  const control = new ArrayBuffer(64);
  const vector = new ArrayBuffer(16);
  new BigUint64Array(vector).set([koffi.address(data), BigInt(data.byteLength)]);
  // struct msghdr on 64-bit Linux: name, its size, vectors, their number, control, its size, flags.
  const message = new BigUint64Array([
    0n,
    0n,
    koffi.address(vector),
    1n,
    koffi.address(control),
    BigInt(control.byteLength),
    0n,
  ]);
  const CMSG_CLOEXEC_DONTWAIT = 0x40000000 | 0x40;
  const got = recvmsgCall(connection, message, CMSG_CLOEXEC_DONTWAIT);
  if (Number(got) === -1 && lastErrno() === 'EAGAIN') return undefined;
  check(got, 'recvmsg', String(connection));
  const header = new DataView(control);
  const SOL_SOCKET = 1;
  const SCM_RIGHTS = 1;
  if (message[5]! < 20n || header.getInt32(8, true) !== SOL_SOCKET || header.getInt32(12, true) !== SCM_RIGHTS)
    return undefined;
  return header.getInt32(16, true);
}
