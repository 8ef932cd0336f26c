// The gate before a commit: rooms, types, lint, format, unit tests.

import { cpus } from 'node:os';
import { setupCode } from './lib/setup.mjs';
import { format, lint, rooms, runTests, step, testFiles, types } from './lib/steps.mjs';

await setupCode().catch((error) => {
  process.stderr.write(`ok: ${error.message}\n`);
  process.exit(1);
});
let passed = true;
for (const each of [rooms, types, lint, format]) passed = (await step(each)) && passed;
passed = (await runTests(testFiles().unit, { concurrency: cpus().length, args: ['--test-reporter=dot'] })) && passed;
process.stdout.write(passed ? 'ok: everything passed\n' : 'ok: something failed, see above\n');
process.exitCode = passed ? 0 : 1;
