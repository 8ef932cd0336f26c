// The steps of `npm run ok` and `npm test`.

import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { environment, house, node } from './house.mjs';
import { run } from './run.mjs';

const bin = (name) => join(house, 'node_modules/.bin', name);

export const rooms = { name: 'rooms', args: ['scripts/rooms.mjs'] };
export const types = { name: 'types', args: [bin('tsc'), '-p', '.'] };
export const lint = { name: 'lint', args: [bin('oxlint'), '--type-aware', '--quiet'] };
export const format = { name: 'format', args: [bin('oxfmt'), '--check', '.'] };

/** Runs one step and shows what it says. Gives whether it passed. */
export async function step({ name, args }) {
  const started = performance.now();
  const { code, stdout, stderr } = await run(node(), args, { cwd: house, env: environment() });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${code === 0 ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)\n`);
  if (code !== 0) process.stdout.write(`${(stdout + stderr).trimEnd()}\n`);
  return code === 0;
}

/** Test files: `unit` need nothing, `root` need root, `integration` need real containers. */
export function testFiles() {
  const all = ['src', 'scripts', 'bench', 'test']
    .flatMap((directory) => [...walk(join(house, directory))])
    .map((file) => relative(house, file));
  const files = all.filter((file) => /\.test\.(ts|mjs)$/.test(file)).toSorted((a, b) => a.localeCompare(b));
  const integration = files.filter((file) => /^test\/[^/]+$/.test(file));
  const root = files.filter((file) => !integration.includes(file) && /\.root\.test\.(ts|mjs)$/.test(file));
  const unit = files.filter((file) => !integration.includes(file) && !root.includes(file));
  return { unit, root, integration };
}

function* walk(directory) {
  if (!existsSync(directory)) return;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* entry.name === 'node_modules' || entry.name === 'gen' ? [] : walk(path);
    else yield path;
  }
}

/** Runs test files under Node's own runner, whose closing lines end the output. Gives whether they passed. */
export async function runTests(files, { concurrency, args = [], env = {} } = {}) {
  if (files.length === 0) return true;
  const { code } = await run(node(), ['--test', `--test-concurrency=${concurrency}`, ...args, ...files], {
    cwd: house,
    env: environment(env),
    inherit: true,
  });
  return code === 0;
}
