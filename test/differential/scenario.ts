/** Which `ctr` is asked: Debian's 1.6, or 2.1 where one was given. */
export type Release = '1.6' | '2.1';

/** One shell command line. `ctr` in it speaks to the side's own daemon, in the scenario's own namespace. */
export interface Line {
  readonly run: string;
  /** Asked of this release only; the other does not know it, or asks something else. */
  readonly only?: Release;
  /** The order of the lines of its output says nothing. */
  readonly unordered?: true;
}

/**
 * Command lines that are run in order, each first against the reference and against hakod. They find in their
 * environment: `$R`, the host of a registry with the images of fixtures.ts; `$OWN`, a place in it for what this side
 * pushes; `$F`, the fixtures' directory; `$NS`, the namespace. The current directory is the scenario's own.
 */
export interface Scenario {
  /** Also its namespace, so that scenarios run side by side. */
  readonly name: string;
  readonly lines: readonly (string | Line)[];
  readonly only?: Release;
  /** It sees what other scenarios do, so none runs beside it. These go first, in the order of the table. */
  readonly alone?: true;
}

/** A line that only this release is asked. */
export const only = (release: Release, run: string): Line => ({ run, only: release });

/** A line whose output comes in no particular order. */
export const unordered = (run: string): Line => ({ run, unordered: true });

/** The lines of a scenario that are asked of a release. */
export function linesFor(scenario: Scenario, release: Release): Line[] {
  if (scenario.only !== undefined && scenario.only !== release) return [];
  return scenario.lines
    .map((line) => (typeof line === 'string' ? { run: line } : line))
    .filter((line) => line.only === undefined || line.only === release);
}
