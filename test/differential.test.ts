// The same command lines of `ctr` against containerd and against hakod: same exit code, same words.
import assert from 'node:assert/strict';
import { cpus } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { difference, unlike } from './differential/compare.ts';
import { unasked } from './differential/coverage.ts';
import { differences, lists } from './differential/differences.ts';
import { normalise } from './differential/normalise.ts';
import { linesFor, type Line, type Scenario } from './differential/scenario.ts';
import { openSides, type Sides } from './differential/sides.ts';
import { table } from './differential/table.ts';
import { untried } from './differential/untried.ts';
import { noContainers } from './support/machine.ts';

/** Words of the names of the scenarios to run, for a look at a few by hand. */
const wanted = process.env['HAKO_TEST_SCENARIOS']?.split(',');
const chosen = table.filter(({ name }) => wanted === undefined || wanted.some((word) => name.includes(word)));

describe('ctr says the same of containerd and of hakod', { skip: noContainers('ctr', 'containerd') }, () => {
  let sides: Sides;
  const undo = new AsyncDisposableStack();
  after(() => undo.disposeAsync());
  before(async () => {
    sides = await openSides(undo);
  });

  for (const scenario of chosen.filter(({ alone }) => alone)) test(scenario.name, () => play(sides, scenario));
  describe('side by side', { concurrency: cpus().length + 1 }, () => {
    for (const scenario of chosen.filter(({ alone }) => !alone)) test(scenario.name, () => play(sides, scenario));
  });

  test('every command and flag is asked, but for those that are listed with a reason', () => {
    const lines = table.flatMap((scenario) => linesFor(scenario, sides.release).map(({ run }) => run));
    const left = unasked(sides.ctr, lines).filter((one) => untried[one] === undefined);
    assert.deepEqual(left, []);
  });

  test('only scenarios that run alone collect garbage', () => {
    const collects = (line: string | Line): boolean => / --sync( |$)/.test(typeof line === 'string' ? line : line.run);
    const wrong = table.filter(({ alone, lines }) => alone !== true && lines.some(collects));
    assert.deepEqual(
      wrong.map(({ name }) => name),
      [],
    );
  });

  test('every difference that is listed is one of a line that is asked', () => {
    const lines = (['1.6', '2.1'] as const).flatMap((release) =>
      table.flatMap((scenario) =>
        linesFor(scenario, release).map((line) => ({ scenario: scenario.name, line: line.run, release })),
      ),
    );
    const idle = differences.filter((one) => !lines.some((line) => lists(one, line.scenario, line.line, line.release)));
    assert.deepEqual(idle, []);
  });
});

/** Asks both sides line by line, goes on after a difference, and fails with all of them. */
async function play(sides: Sides, scenario: Scenario): Promise<void> {
  const found: string[] = [];
  for (const line of linesFor(scenario, sides.release)) {
    const problem = await ask(sides, scenario, line);
    if (problem !== undefined) found.push(`$ ${line.run}\n${problem}`);
  }
  if (found.length > 0) throw new Error(`\n${found.join('\n\n')}`);
}

async function ask(sides: Sides, scenario: Scenario, line: Line): Promise<string | undefined> {
  const [theirs, ours] = await Promise.all(
    [sides.theirs, sides.ours].map(async (side) =>
      normalise(await side.run(scenario.name, line.run), scenario.name, line, side),
    ),
  );
  const listed = differences.find((one) => lists(one, scenario.name, line.run, sides.release));
  return listed === undefined ? difference(theirs!, ours!) : unlike(listed, theirs!, ours!);
}
