// Where things are in this checkout, and the Node that it pins. Plain JavaScript for Node 20, as everything in scripts/.

import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the checkout. */
export const house = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** What the scripts keep for themselves; ignored by git, safe to delete. */
export const cache = join(house, '.cache');
/** Programs of Debian packages that were unpacked privately. */
export const privateBin = join(cache, 'debian/bin');

const pinned = join(house, 'node_modules', `node-linux-${process.arch}`, 'bin/node');

/** The Node that the project pins, or undefined before `npm ci`. */
export const pinnedNode = () => (existsSync(pinned) ? pinned : undefined);

/** The pinned Node, or the one that runs us where it is new enough. */
export function node() {
  const found = process.env.HAKO_NODE || pinnedNode();
  if (found !== undefined) return found;
  if (Number.parseInt(process.versions.node, 10) >= 24) return process.execPath;
  throw new Error(`Node ${process.versions.node} is too old and the pinned one is not installed: run "npm ci"`);
}

/** The environment for what we start: the pinned Node and the private programs come first. */
export function environment(more = {}) {
  const path = [dirname(node()), privateBin, process.env.PATH ?? '', '/usr/sbin', '/sbin'];
  return { ...process.env, PATH: path.filter((part) => part !== '').join(delimiter), ...more };
}
