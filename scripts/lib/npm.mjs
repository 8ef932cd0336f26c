// Brings node_modules to what package-lock.json says, and does nothing where it is that already.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { house, pinnedNode } from './house.mjs';
import { run, tail } from './run.mjs';

/** Installs npm packages where something is missing. `say` tells what is done. */
export async function setupNpm(say) {
  if (missingPackages().length === 0) return;
  say('installing npm packages (npm ci)');
  await install(process.execPath);
  // Under an older Node, npm leaves out optional packages whose `engines` want a newer one, and does not say so. With
  // the pinned Node in place, it gets a second chance.
  const node = pinnedNode();
  if (missingPackages().length > 0 && node !== undefined && node !== process.execPath) {
    say('installing npm packages again under the pinned Node');
    await install(node);
  }
  const left = missingPackages();
  if (left.length > 0)
    throw new Error(`npm ci left out ${left.slice(0, 5).join(', ')}: remove node_modules and try again`);
}

async function install(node) {
  const npm = npmScript();
  const [command, before] = npm === undefined ? ['npm', []] : [node, [npm]];
  const args = [...before, 'ci', '--no-audit', '--no-fund', '--no-progress', '--loglevel=error'];
  const { code, stdout, stderr } = await run(command, args, { cwd: house });
  if (code !== 0) throw new Error(`npm ci failed:\n${tail(stderr || stdout)}`);
}

/** npm's own script: what runs us told its place, else it lies beside Node as in every installation of Node. */
function npmScript() {
  const told = process.env.npm_execpath;
  if (told !== undefined && /npm-cli\.c?js$/.test(told) && existsSync(told)) return told;
  const prefix = dirname(dirname(process.execPath));
  return [join(prefix, 'lib/node_modules/npm/bin/npm-cli.js'), '/usr/share/nodejs/npm/bin/npm-cli.js'].find((path) =>
    existsSync(path),
  );
}

/** What the lock file wants on this machine and node_modules does not have, as paths. */
export function missingPackages() {
  const wanted = readPackages(join(house, 'package-lock.json'));
  const present = readPackages(join(house, 'node_modules/.package-lock.json'));
  return Object.entries(wanted)
    .filter(([path, entry]) => path !== '' && suitsThisMachine(entry))
    .filter(
      ([path, entry]) => present[path]?.version !== entry.version || !existsSync(join(house, path, 'package.json')),
    )
    .map(([path]) => path.replace(/^node_modules\//, ''));
}

function readPackages(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages ?? {};
  } catch {
    return {};
  }
}

const glibc = process.report?.getReport?.().header?.glibcVersionRuntime !== undefined;

function suitsThisMachine(entry) {
  const allows = (list, value) => list === undefined || (list.includes(value) && !list.includes(`!${value}`));
  return (
    allows(entry.os, process.platform) &&
    allows(entry.cpu, process.arch) &&
    allows(entry.libc, glibc ? 'glibc' : 'musl')
  );
}
