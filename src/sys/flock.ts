import { closeSync, constants, openSync } from 'node:fs';
import koffi from 'koffi';
import { check, libc } from './libc.ts';

const flock = libc('int flock(int fd, int operation)');
// From <sys/file.h>; the same on every Linux.
const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Takes the exclusive flock(2) of a file or directory without waiting. A file that is not there is made (0600). Gives
 * undefined while someone else holds it. The kernel drops the lock with the process, however it ends; children do not
 * inherit it.
 */
export function tryFlock(path: string): (Disposable & { readonly fd: number }) | undefined {
  const fd = openLockable(path);
  try {
    const result = flock(fd, LOCK_EX | LOCK_NB);
    const errno = result === -1 ? koffi.errno() : 0;
    if (errno === koffi.os.errno['EAGAIN']) {
      closeSync(fd);
      return undefined;
    }
    if (result === -1) check(result, 'flock', path);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}

function openLockable(path: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EISDIR')
      return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
    throw error;
  }
}
