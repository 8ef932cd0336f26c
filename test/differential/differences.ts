import type { Release } from './scenario.ts';

/** One known difference between the two sides, with the reason why it stays. */
export interface Difference {
  readonly scenario: string | RegExp;
  /** The command line as the scenario has it; where several match, it is a difference of each of them. */
  readonly line: string | RegExp;
  /** With which reference it shows; both where it is not said. */
  readonly with?: Release;
  /** What both sides say, in their normalised form; what is left out is the same on both sides. */
  readonly theirs: Saying;
  readonly ours: Saying;
  readonly why: string;
}

export interface Saying {
  readonly code?: number;
  readonly stdout?: RegExp;
  readonly stderr?: RegExp;
}

/** Whether the difference is one of this line. */
export function lists(one: Difference, scenario: string, line: string, release: Release): boolean {
  const fits = (pattern: string | RegExp, text: string): boolean =>
    typeof pattern === 'string' ? pattern === text : pattern.test(text);
  return fits(one.scenario, scenario) && fits(one.line, line) && (one.with === undefined || one.with === release);
}

export const differences: readonly Difference[] = [];
