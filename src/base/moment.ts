/** A date to the microsecond. As a Date it is the millisecond in which it lies. */
export class Moment extends Date {
  /** What lies beyond the millisecond: 0 to 999. */
  readonly micros: number;

  /** Microseconds since 1970. */
  constructor(microseconds: number) {
    super(Math.floor(microseconds / 1000));
    this.micros = Math.floor(microseconds) - this.getTime() * 1000;
  }
}

/** Microseconds since 1970 of any date: exact in a number until the year 2255. */
export const microsecondsOf = (date: Date): number =>
  date.getTime() * 1000 + (date instanceof Moment ? date.micros : 0);

/** From the clock that only runs forward to the one on the wall, which may be set. Milliseconds. */
let offset = performance.timeOrigin;

/** The time of the clock on the wall, to the microsecond: clients compare it with what their own clock said before the call. */
export function now(): Moment {
  const wall = Date.now();
  const running = performance.now();
  const apart = running + offset - wall;
  if (apart < 0 || apart >= 1) offset = wall - running;
  return new Moment((running + offset) * 1000);
}
