import { invalid } from './errors.ts';

/** What a person types to leave a container's terminal when nothing else was asked for. */
export const defaultDetachKeys = 'ctrl-p,ctrl-q';

/**
 * The bytes of a key sequence in Docker's notation: characters and `ctrl-` with a letter or one of `@[\]^_`, separated by
 * commas; `DEL` is the delete key.
 */
export function parseDetachKeys(keys: string): Uint8Array {
  return Uint8Array.from(keys.split(','), (key) => {
    const control = /^ctrl-([a-z@[\\\]^_])$/i.exec(key)?.[1];
    if (control !== undefined) return control.toUpperCase().charCodeAt(0) - 64;
    if (key === 'DEL') return 127;
    const code = key.charCodeAt(0);
    if (key.length === 1 && code < 128) return code;
    throw invalid(`detach keys "${keys}": "${key}" is neither a character nor "ctrl-" with a letter or one of @[\\]^_`);
  });
}

/** Looks for the sequence in what is typed, however it was cut, and holds back only what may still become it. */
export class DetachWatch {
  readonly #keys: Uint8Array;
  #matched = 0;

  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  /** What goes on to the container. Once `detached`, the rest of the typing is thrown away. */
  push(typed: Uint8Array): { pass: Uint8Array; detached: boolean } {
    const pass: number[] = [];
    for (const byte of typed) {
      while (this.#matched > 0 && byte !== this.#keys[this.#matched]) this.#release(pass);
      if (byte !== this.#keys[this.#matched]) {
        pass.push(byte);
        continue;
      }
      this.#matched += 1;
      if (this.#matched === this.#keys.length) return { pass: Uint8Array.from(pass), detached: true };
    }
    return { pass: Uint8Array.from(pass), detached: false };
  }

  /** Gives up bytes held back until what remains is again a beginning of the sequence (or nothing). */
  #release(pass: number[]): void {
    const held = this.#keys.subarray(0, this.#matched);
    for (let shift = 1; shift <= held.length; shift += 1) {
      if (held.subarray(shift).every((byte, index) => byte === this.#keys[index])) {
        pass.push(...held.subarray(0, shift));
        this.#matched -= shift;
        return;
      }
    }
  }
}
