import { closeSync, constants, openSync } from 'node:fs';
import { check, libc } from './libc.ts';

const getdents = libc('long syscall(long number, int fd, void *buffer, size_t size)');
const getdentsNumber = process.arch === 'x64' ? 217 : 61;

/**
 * Whether the file system of a directory tells the types of names when they are read (d_type, readdir(3)). overlayfs
 * needs it. Old XFS file systems (ftype=0) do not. `..` and `.` are names too, so any directory will do.
 */
export function tellsTypes(directory: string): boolean {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const buffer = Buffer.alloc(4096);
    const length = check(getdents(getdentsNumber, fd, buffer, buffer.length), 'getdents64', directory);
    // linux_dirent64: inode 8, offset 8, record length 2, type 1.
    for (let at = 0; at + 19 <= length; at += buffer.readUInt16LE(at + 16)) {
      const name = buffer.toString('latin1', at + 19, buffer.indexOf(0, at + 19));
      if (name !== '.' && name !== '..' && buffer.readUInt8(at + 18) === 0) return false;
    }
    return true;
  } finally {
    closeSync(fd);
  }
}
