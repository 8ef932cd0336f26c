import type { DockerClient } from '#client/docker.ts';
import { UsageFailure } from './failure.ts';
import type { Flags, Parsed } from './flags.ts';
import type { HelpText } from './help.ts';

/** What a command gets from the program around it. */
export interface Context {
  readonly client: DockerClient;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** One command: its help, its flags, and what it does. Resolves with the exit code; nothing is 0. */
export interface Command<F extends Flags = Flags> extends HelpText {
  readonly flags: F;
  /** How many arguments it takes: at least, at most. */
  readonly takes: readonly [least: number, most: number];
  /** False where flags end at the first argument. */
  readonly interspersed?: boolean;
  /** The exit code of an error that is the command's own: Docker's `run` family says 125, to leave 1 to containers. */
  readonly failureCode?: number;
  run(context: Context, parsed: Parsed<F>): Promise<number | void>;
}

/** Types a command by its own flags. */
export const command = <const F extends Flags>(definition: Command<F>): Command => definition;

/** Docker's words for a wrong number of arguments. */
export function checkCount(name: string, [least, most]: readonly [number, number], count: number): void {
  if (count >= least && count <= most) return;
  const plural = (number: number): string => `${number} argument${number === 1 ? '' : 's'}`;
  if (most === 0) throw new UsageFailure(`'${name}' accepts no arguments`, 1);
  if (least === most) throw new UsageFailure(`'${name}' requires ${plural(least)}`, 1);
  throw new UsageFailure(
    `'${name}' requires at ${count < least ? `least ${plural(least)}` : `most ${plural(most)}`}`,
    1,
  );
}
