import koffi from 'koffi';

/** glibc's own; other C libraries have neither, and need neither. */
const trim = find('int malloc_trim(size_t pad)');
const tune = find('int mallopt(int parameter, int value)');

/** Parameter of mallopt(3). */
const M_ARENA_MAX = -8;

function find(prototype: string): ((...args: unknown[]) => number) | undefined {
  try {
    return koffi.load(null).func(prototype);
  } catch {
    return undefined;
  }
}

/** Lets so many threads allocate side by side, instead of eight for each core: what one frees, another may take. */
export function limitArenas(count: number): void {
  tune?.(M_ARENA_MAX, count);
}

/** Gives the kernel back what is free inside of the C library's heap. Takes milliseconds for a heap of some hundred megabytes. */
export function giveBackMemory(): void {
  trim?.(0);
}
