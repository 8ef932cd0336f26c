import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { house } from '../scripts/lib/house.mjs';
import { summarize, type Sample, type Summary } from './sample.ts';

/** One of those that are compared. `run` does the work once and gives its time in milliseconds. */
export interface Side {
  readonly name: string;
  readonly run: () => Promise<number>;
}

export interface Options {
  readonly rounds: number;
  /** A directory with the peer's programs, or a command that runs them elsewhere. */
  readonly peer?: string;
}

/** What a benchmark gives to be printed: `ours` is set against each of the others. */
export interface Result {
  readonly name: string;
  readonly about: string;
  readonly ours: string;
  readonly samples: readonly Sample[];
  /** Versions and settings that the numbers depend on. */
  readonly facts: Readonly<Record<string, string>>;
}

export interface Benchmark {
  readonly name: string;
  readonly about: string;
  /** One result, or one for each thing that was measured on the same ground. */
  run(options: Options, undo: AsyncDisposableStack): Promise<Result | readonly Result[]>;
}

/**
 * Runs the sides in turn (A B A B …), so that whatever slows the machine meanwhile slows them all. Two rounds before
 * that are not counted: they fill caches.
 */
export async function inTurn(sides: readonly Side[], rounds: number): Promise<Sample[]> {
  const times = new Map(sides.map((side) => [side.name, [] as number[]]));
  for (let round = -2; round < rounds; round++) {
    for (const side of sides) {
      const time = await side.run();
      if (round >= 0) times.get(side.name)!.push(time);
    }
    if (process.stderr.isTTY && round >= 0) process.stderr.write(`\r${round + 1}/${rounds}\r`);
  }
  return [...times].map(([side, all]) => ({ side, times: all }));
}

/** Prints the table and keeps the numbers as JSON; gives the file. */
export function report(result: Result): string {
  const summaries = result.samples.map(summarize);
  const ours = summaries.find((one) => one.side === result.ours);
  const width = Math.max(...summaries.map((one) => one.side.length));
  process.stdout.write(`\n${result.name}: ${result.about}\n\n`);
  for (const one of summaries) process.stdout.write(`  ${line(one, ours, width)}\n`);
  for (const [key, value] of Object.entries(result.facts)) process.stdout.write(`  ${key}: ${value}\n`);
  const directory = join(house, 'bench/results');
  mkdirSync(directory, { recursive: true });
  const at = new Date().toISOString();
  const file = join(directory, `${result.name}-${at.replaceAll(/[:.]/g, '-')}.json`);
  writeFileSync(file, `${JSON.stringify({ at, ...result, machine: machine(), summaries }, undefined, 2)}\n`);
  process.stdout.write(`  written to ${file}\n`);
  return file;
}

function line(one: Summary, ours: Summary | undefined, width: number): string {
  const ms = (value: number): string => `${value.toFixed(1)} ms`.padStart(9);
  const ratio =
    ours === undefined || ours === one ? '' : `   ${ours.side} is ${(ours.median / one.median).toFixed(2)} of it`;
  return `${one.side.padEnd(width)}  ${ms(one.median)}  (${ms(one.p10)} – ${ms(one.p90)})${ratio}`;
}

function machine(): Record<string, string | number> {
  let commit = 'unknown';
  try {
    commit = execFileSync('git', ['-C', house, 'rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    // Not a git checkout.
  }
  const cpus = os.cpus();
  return { cpus: cpus.length, cpu: cpus[0]?.model ?? '', kernel: os.release(), node: process.version, commit };
}
