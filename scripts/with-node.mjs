// Runs a program under the Node that the project pins: node scripts/with-node.mjs PROGRAM [ARG…]

import { environment, node } from './lib/house.mjs';
import { run } from './lib/run.mjs';

const [program, ...args] = process.argv.slice(2);
if (program === undefined) {
  process.stderr.write('usage: node scripts/with-node.mjs PROGRAM [ARG...]\n');
  process.exit(2);
}
const { code } = await run(node(), [program, ...args], { inherit: true, env: environment() });
process.exitCode = code;
