import os from 'node:os';
import koffi from 'koffi';
import { must, textOf } from './at.ts';
import { libc } from './libc.ts';

/**
 * Extended attributes (xattr(7)) of a file, by path or by `/proc/self/fd/N/name`; a last symbolic link is not followed.
 * Names and paths are byte strings (see at.ts). Each gives what the call gave, or the negative errno.
 */

const set = libc('int lsetxattr(const void *path, const void *name, const void *value, size_t size, int flags)');
const get = libc('long lgetxattr(const void *path, const void *name, void *value, size_t size)');
const list = libc('long llistxattr(const void *path, void *list, size_t size)');
const remove = libc('int lremovexattr(const void *path, const void *name)');

const { ENODATA, EOPNOTSUPP, ERANGE } = os.constants.errno;
/** XATTR_LIST_MAX and XATTR_SIZE_MAX. */
const most = 65_536;

const zeroed = (text: string): Buffer => Buffer.from(`${text}\0`, 'latin1');
const negative = (result: number): number => (result === -1 ? -koffi.errno() : result);

export const setXattr = (path: string, name: string, value: Uint8Array): number =>
  negative(set(zeroed(path), zeroed(name), value.length === 0 ? Buffer.alloc(1) : value, value.length, 0));

export const removeXattr = (path: string, name: string): number => negative(remove(zeroed(path), zeroed(name)));

/** The value, or undefined where there is none or the file system has no such attributes. */
export function getXattr(path: string, name: string): Buffer | undefined {
  const buffer = Buffer.alloc(256);
  let length = negative(get(zeroed(path), zeroed(name), buffer, buffer.length));
  if (length >= 0) return buffer.subarray(0, length);
  if (length === -ENODATA || length === -EOPNOTSUPP) return undefined;
  if (length !== -ERANGE) must(length, 'lgetxattr', textOf(path));
  const large = Buffer.alloc(most);
  length = must(negative(get(zeroed(path), zeroed(name), large, large.length)), 'lgetxattr', textOf(path));
  return large.subarray(0, length);
}

/** All names. Empty where the file system has none. */
export function listXattrs(path: string): string[] {
  const none = Buffer.alloc(1);
  const size = negative(list(zeroed(path), none, 0));
  if (size === 0 || size === -EOPNOTSUPP) return [];
  must(size, 'llistxattr', textOf(path));
  const buffer = Buffer.alloc(most);
  const length = must(negative(list(zeroed(path), buffer, buffer.length)), 'llistxattr', textOf(path));
  return buffer
    .toString('latin1', 0, length)
    .split('\0')
    .filter((name) => name !== '');
}
