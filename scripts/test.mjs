// npm test: sets up what is missing, then runs every test. What this machine cannot run is left out by name.

import { mkdtempSync, readdirSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setup } from './lib/setup.mjs';
import { lint, rooms, runTests, step, testFiles, types } from './lib/steps.mjs';
import { sweep, tracesAfter } from './lib/traces.mjs';

const problem = (text) => process.stdout.write(`test: ${text}\n`);

let debian;
try {
  debian = await setup();
} catch (error) {
  problem(error.message);
  process.exit(1);
}
if (debian.missing.length > 0) problem(`missing: ${debian.missing.join(', ')}; ${debian.advice}`);

let passed = true;
for (const each of [rooms, types, lint]) passed = (await step(each)) && passed;

const files = testFiles();
const isRoot = process.getuid() === 0;
for (const file of isRoot ? [] : [...files.root, ...files.integration]) problem(`skipped ${file}: needs root`);
// Everything that tests make goes below one directory, so that what they leave behind shows.
const dir = mkdtempSync(join(tmpdir(), 'ht-'));
const env = { TMPDIR: dir, HAKO_TEST_MISSING: debian.missing.join(' ') };
process.once('SIGINT', () => void sweep(dir).finally(() => process.exit(130)));
const wanted = isRoot ? [...files.unit, ...files.root, ...files.integration] : files.unit;
const extra = process.argv.slice(2);
const chosen = extra.length > 0 ? wanted.filter((file) => extra.some((word) => file.includes(word))) : wanted;
passed = (await runTests(chosen, { concurrency: cpus().length, args: ['--test-timeout=600000'], env })) && passed;

const left = await tracesAfter(dir, 3000);
const rest = readdirSync(dir);
for (const one of left) problem(`left behind: ${one}`);
for (const one of rest) problem(`left behind: ${join(dir, one)}`);
await sweep(dir);
if (left.length + rest.length > 0) passed = false;
if (!passed) problem('something failed, see above');
process.exitCode = passed ? 0 : 1;
