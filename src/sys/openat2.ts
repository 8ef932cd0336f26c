import { check, libc } from './libc.ts';

const openat2Call = libc(
  'long syscall(long number, int directory, const char *path, uint64_t *how, unsigned long size)',
);
/** The same on every architecture: newer calls share one table (Linux 5.6). */
const OPENAT2 = 437;

// linux/openat2.h
/** Links and `..` stay below the directory, as after a chroot(2). */
export const RESOLVE_IN_ROOT = 0x10;
/** A path that leads outside fails with EXDEV. */
export const RESOLVE_BENEATH = 0x08;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_XDEV = 0x01;

const O_CLOEXEC = 0o2000000;

/**
 * Opens `path` below an open directory so that no link, `..` or race in it leads where `resolve` forbids
 * (openat2(2)); always O_CLOEXEC. The caller closes the descriptor. Throws SysError: EXDEV or ELOOP where it is
 * forbidden, EAGAIN when someone renames on the way (ask again).
 */
export function openWithin(directory: number, path: string, flags: number, resolve: number, mode = 0): number {
  const how = new BigUint64Array([BigInt(flags | O_CLOEXEC), BigInt(mode), BigInt(resolve)]);
  return check(openat2Call(OPENAT2, directory, path, how, how.byteLength), 'openat2', path);
}
