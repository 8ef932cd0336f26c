import { invalid } from '#base/errors.ts';
import type { IdMapping } from './types.ts';

/** Reads `container-id:host-id:length`. */
export function parseIdMapping(text: string): IdMapping {
  const parts = text.split(':');
  const [containerID, hostID, size] = parts.map(Number);
  if (parts.length !== 3 || !parts.every((part) => /^\d{1,10}$/.test(part) && Number(part) < 2 ** 32))
    throw invalid(`user namespace mapping "${text}": must be CONTAINER-ID:HOST-ID:LENGTH`);
  return { containerID: containerID!, hostID: hostID!, size: size! };
}

/** The host's id of a container's; undefined where no mapping has it. */
export function toHost(id: number, mappings: readonly IdMapping[]): number | undefined {
  const found = mappings.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return found === undefined ? undefined : found.hostID + (id - found.containerID);
}

/** Mappings as a snapshot's label has them. */
export const mappingText = (mappings: readonly IdMapping[]): string =>
  mappings.map(({ containerID, hostID, size }) => `${containerID}:${hostID}:${size}`).join(',');
