import os from 'node:os';
import { invalid } from '#base/errors.ts';

const numbers = new Map<string, number>(Object.entries(os.constants.signals));
/** The real-time signals that libc leaves to programs (signal(7)). */
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** The number of a signal by name (`SIGTERM`, `term`, `RTMIN+1`) or number. invalid-argument in Docker's words. */
export function parseSignal(text: string): number {
  const refused = (): Error => invalid(`invalid signal: ${text.slice(0, 64)}`);
  if (/^\d{1,3}$/.test(text)) {
    const number = Number(text);
    if (number < 1 || number > SIGRTMAX) throw refused();
    return number;
  }
  const name = text.toUpperCase().startsWith('SIG') ? text.toUpperCase() : `SIG${text.toUpperCase()}`;
  const real = /^SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (real !== null) {
    const [, base, sign, steps = '0'] = real;
    const number = (base === 'MIN' ? SIGRTMIN : SIGRTMAX) + (sign === '-' ? -1 : 1) * Number(steps);
    if (number < SIGRTMIN || number > SIGRTMAX) throw refused();
    return number;
  }
  const number = numbers.get(name);
  if (number === undefined) throw refused();
  return number;
}
