import koffi from 'koffi';
import type { Moved } from './fd.ts';
import { closeFd, O_CREAT, O_RDWR, openFd } from './fd.ts';
import { check, lastErrno, libc } from './libc.ts';

const spliceCall = libc(
  'int64_t splice(int from, void *fromOffset, int to, void *toOffset, size_t size, unsigned int flags)',
);
const mmapCall = libc(
  'void *mmap(void *address, size_t size, int protection, int flags, int fd, int64_t offset)',
) as unknown as (...args: unknown[]) => bigint;
const munmapCall = libc('int munmap(void *address, size_t size)');
const ftruncateCall = libc('int ftruncate(int fd, int64_t size)');

const SPLICE_F_MOVE_NONBLOCK = 1 | 2;
const pageSize = 4096;

/**
 * Numbers in a file that is mapped into memory, so that they outlive the process. The kernel writes the offset of a
 * splice(2) there itself, before it returns to a mode in which a kill can arrive: bytes and offset never part.
 */
export class OffsetFile {
  readonly #address: bigint;
  #values: BigInt64Array;

  constructor(path: string) {
    const fd = openFd(path, O_RDWR | O_CREAT);
    try {
      check(ftruncateCall(fd, pageSize), 'ftruncate', path);
      const READ_WRITE = 3;
      const MAP_SHARED = 1;
      this.#address = mmapCall(null, pageSize, READ_WRITE, MAP_SHARED, fd, 0);
      if (BigInt.asIntN(64, this.#address) === -1n) check(-1, 'mmap', path);
    } finally {
      closeFd(fd);
    }
    this.#values = new BigInt64Array(koffi.view(this.#address, pageSize));
  }

  get(slot: number): number {
    return Number(this.#values[slot]);
  }

  set(slot: number, value: number): void {
    this.#values[slot] = BigInt(value);
  }

  /** Where the kernel finds the number. */
  pointer(slot: number): bigint {
    return this.#address + BigInt(slot * 8);
  }

  /** Nothing may use it, or its pointers, afterwards. Numbers read as 0 then: touching what is unmapped would be the end. */
  close(): void {
    this.#values = new BigInt64Array(this.#values.length);
    munmapCall(this.#address, pageSize);
  }
}

/** Moves up to `size` bytes without copying; at least one side is a pipe. A file's side takes the address of its offset. */
export function splice(
  from: number,
  fromOffset: bigint | null,
  to: number,
  toOffset: bigint | null,
  size: number,
): Moved {
  const result = Number(spliceCall(from, fromOffset, to, toOffset, size, SPLICE_F_MOVE_NONBLOCK));
  return result === -1 ? lastErrno() : result;
}
