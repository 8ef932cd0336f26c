// npm run bench [-- NAME… --rounds N --peer PATH]: sets up what is missing, then measures; see bench/main.ts.

import { environment, house, node } from './lib/house.mjs';
import { run } from './lib/run.mjs';
import { setup } from './lib/setup.mjs';

try {
  const { missing, advice } = await setup();
  if (missing.length > 0) throw new Error(`missing: ${missing.join(', ')}\n${advice}`);
  if (process.getuid?.() !== 0) throw new Error('containers need root here: run it as root');
  const { code } = await run(node(), ['bench/main.ts', ...process.argv.slice(2)], {
    cwd: house,
    env: environment(),
    inherit: true,
  });
  process.exitCode = code;
} catch (error) {
  process.stderr.write(`bench: ${error.message}\n`);
  process.exitCode = 1;
}
