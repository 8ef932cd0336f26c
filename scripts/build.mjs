// Builds what is not in git: code from .proto files, and the bundles of command lines, daemon and shim. Does nothing for what is new.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { house, node } from './lib/house.mjs';
import { setupNpm } from './lib/npm.mjs';
import { run } from './lib/run.mjs';

await setupNpm((line) => process.stderr.write(`build: ${line}\n`));
for (const part of ['build-proto.mjs', 'build-cli.mjs', 'build-house.mjs']) {
  const script = join(house, 'scripts', part);
  if (!existsSync(script)) continue;
  const { code } = await run(node(), [script, ...process.argv.slice(2)], { cwd: house, inherit: true });
  if (code !== 0) process.exit(code);
}
