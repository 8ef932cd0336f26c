import { UsageFailure } from '../../failure.ts';

/** A whole number given to a flag, `least` or more; undefined when nothing was given. */
export function number(flag: string, text: string | undefined, least = -Infinity): number | undefined {
  if (text === undefined || text === '') return undefined;
  const value = /^[+-]?\d{1,20}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new UsageFailure(`invalid value "${text}" for flag -${flag}: must be a whole number`, 1);
}

/** A number that may have a fraction. */
export function decimal(flag: string, text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  if (Number.isFinite(value)) return value;
  throw new UsageFailure(`invalid value "${text}" for flag -${flag}: must be a number`, 1);
}
