import { invalid } from './errors.ts';

/** So many ids, from `container` on within a user namespace and from `host` on outside of it. */
export interface IdMapping {
  readonly container: number;
  readonly host: number;
  readonly size: number;
}

/** (uid_t) -1, which is no id. */
const INVALID_ID = 0xffff_ffff;

/** Reads containerd's words, `container:host:size` with commas between several. invalid-argument when they are none. */
export function parseIdMappings(text: string): IdMapping[] {
  return text.split(',').map((one) => {
    const match = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(one);
    const [container = INVALID_ID, host = INVALID_ID, size = INVALID_ID] = (match ?? []).slice(1).map(Number);
    if (container >= INVALID_ID || host >= INVALID_ID || size >= INVALID_ID)
      throw invalid(`id mapping "${one}": want CONTAINER:HOST:SIZE, such as "0:100000:65536"`);
    return { container, host, size };
  });
}

/** The id outside of what is `id` inside. invalid-argument when nothing is. */
export function toHost(mappings: readonly IdMapping[], id: number): number {
  const found = mappings.find(({ container, size }) => id >= container && id < container + size);
  if (found === undefined) throw invalid(`container id ${id} is in none of the id mappings`);
  return found.host + id - found.container;
}
