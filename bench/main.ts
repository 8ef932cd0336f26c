import { parseArgs } from 'node:util';
import { cli } from './cli.ts';
import { report, type Benchmark } from './harness.ts';
import { listing } from './list.ts';
import { start } from './start.ts';

const benchmarks: readonly Benchmark[] = [start, cli, listing];

const usage = `Usage: npm run bench [-- [NAME…] [--rounds N] [--peer PATH]]

  NAME      ${benchmarks.map((one) => `${one.name}: ${one.about}`).join('\n            ')}
  --rounds  how often each side runs (default 20)
  --peer    a directory with containerd and ctr, or a command that runs them elsewhere (default: Debian's package)
`;

function options(): { chosen: readonly Benchmark[]; rounds: number; peer?: string } {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { rounds: { type: 'string' }, peer: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help === true) {
    process.stdout.write(usage);
    process.exit(0);
  }
  const rounds = Number(values.rounds ?? 20);
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds ${values.rounds}: must be a whole number from 1 on`);
  const unknown = positionals.find((name) => !benchmarks.some((one) => one.name === name));
  if (unknown !== undefined)
    throw new Error(`no benchmark is called "${unknown}": there are ${benchmarks.map((one) => one.name).join(', ')}`);
  const chosen = positionals.length === 0 ? benchmarks : benchmarks.filter((one) => positionals.includes(one.name));
  return { chosen, rounds, ...(values.peer !== undefined && { peer: values.peer }) };
}

async function main(): Promise<void> {
  const { chosen, ...given } = options();
  for (const one of chosen) {
    await using undo = new AsyncDisposableStack();
    const interrupted = (): void => void undo.disposeAsync().finally(() => process.exit(130));
    process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
    undo.defer(() => void process.off('SIGINT', interrupted).off('SIGTERM', interrupted));
    for (const result of [await one.run(given, undo)].flat()) report(result);
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
