import { SysError } from '#sys/libc.ts';
import { punch } from '#sys/fd.ts';
import { firstLocked, releaseRange, tryClaimRange } from '#sys/range-lock.ts';

/** What stays readable behind every reader, for those who attach late; less than that is not worth a call, either. */
export const window = 1024 * 1024;
/** A hole begins and ends with blocks: bytes before it in a block would be zeros that look like data (SEEK_DATA). */
const grain = 64 * 1024;

/**
 * Gives the disk of [freed, to) of a spool back, as far as nobody follows it: who follows a spool holds a shared lock on
 * what they have not read (`followSpool`). Gives the new `freed`, and the first offset that somebody holds, or `to`. Where
 * locks are not to be had, nobody can tell who reads, and all is kept.
 */
export function giveBack(spool: number, freed: number, to: number): { freed: number; held: number } {
  try {
    const held = firstLocked(spool, freed, to);
    const end = held - (held % grain);
    // A follower that has just come holds all from 0 on, to look in peace where the data begins.
    if (end - freed < window || !tryClaimRange(spool, 0, end)) return { freed, held };
    try {
      return { freed: punch(spool, end) ? end : freed, held };
    } finally {
      releaseRange(spool, 0, end);
    }
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    return { freed, held: to };
  }
}
