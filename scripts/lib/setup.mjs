// What quickstart, test, ok and bench need before they can start: npm packages, generated code, Debian packages.

import { house, node } from './house.mjs';
import { setupDebian } from './debian.mjs';
import { setupNpm } from './npm.mjs';
import { run, tail } from './run.mjs';

/** Says a line of progress on standard error, so that standard output stays the result's. */
export const say = (line) => process.stderr.write(`setup: ${line}\n`);

/** npm packages and what is built from sources: all that `npm run ok` needs. Seconds or less when nothing changed. */
export async function setupCode() {
  if (process.platform !== 'linux') throw new Error(`Hakobune runs on Linux; this is ${process.platform}`);
  await setupNpm(say);
  const { code, stdout, stderr } = await run(node(), ['scripts/build.mjs'], { cwd: house });
  if (code !== 0) throw new Error(`the build failed:\n${tail(stderr || stdout, 20)}`);
}

/** All of it. Gives the Debian packages that this machine cannot have, with advice. */
export async function setup(options) {
  await setupCode();
  return setupDebian(say, options);
}
