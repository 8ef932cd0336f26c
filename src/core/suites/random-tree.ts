import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

/** Trees of files for tests: described so that two can be compared, and changed at random. */

/**
 * A line a file: all that a layer keeps of it. The times of directories are left out, since layers do not tell them all;
 * `links` false leaves out which names are one file, about which overlayfs does not always tell the truth.
 */
export function describeTree(root: string, links = true): string[] {
  const lines: string[] = [];
  const first = new Map<string, string>();
  const walk = (directory: string): void => {
    for (const name of readdirSync(directory).toSorted()) {
      const file = path.join(directory, name);
      const stat = lstatSync(file);
      const shown = path.relative(root, file);
      const key = `${stat.dev}:${stat.ino}`;
      const twin = links ? first.get(key) : undefined;
      if (!stat.isDirectory()) first.set(key, twin ?? shown);
      const content = stat.isSymbolicLink()
        ? readlinkSync(file)
        : stat.isFile()
          ? createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 16)
          : `${stat.rdev}`;
      const when = stat.isDirectory() ? 'dir' : Math.floor(stat.mtimeMs / 1000);
      lines.push(`${shown} ${stat.mode.toString(8)} ${stat.uid}:${stat.gid} ${when} ${content} ${twin ?? ''}`);
      if (stat.isDirectory()) walk(file);
    }
  };
  walk(root);
  return lines;
}

/** The same numbers for the same seed (mulberry32). */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const names = ['a', 'b', 'ab', 'a.b', 'a-b', 'Z', 'ümläut', 'with space', 'n'.repeat(120), '~', 'wh.x'];

/** Does so many random things to a tree: makes, changes, replaces, links, moves and deletes. */
export function changeTree(root: string, random: (below: number) => number, times: number): void {
  for (let n = 0; n < times; n++) {
    const target = path.join(somewhere(root, random), names[random(names.length)]!);
    try {
      changeOne(root, target, random);
    } catch (error) {
      // Some combinations make no sense: a directory moved into itself, a file that is gone.
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
  }
}

function changeOne(root: string, target: string, random: (below: number) => number): void {
  const stat = lstatSync(target, { throwIfNoEntry: false });
  // To write to a FIFO would wait, and a link may lead into another tree.
  const writable = stat === undefined || stat.isFile();
  switch (random(12)) {
    case 0:
    case 1:
      if (random(3) === 0) rmSync(target, { recursive: true, force: true });
      return mkdirSync(target);
    case 2:
    case 3:
      if (random(3) === 0 || !writable) rmSync(target, { recursive: true, force: true });
      writeFileSync(target, `${random(1000)}`.repeat(random(200)));
      return lutimesSync(target, 1_000_000_000, 1_000_000_000 + random(1_000_000_000) + random(2) / 2);
    case 4:
      return symlinkSync(random(2) === 0 ? target : '../somewhere/else', target);
    case 5:
      return linkSync(path.join(somewhere(root, random), names[random(names.length)]!), target);
    case 6:
      return void (stat === undefined && execFileSync('mkfifo', [target]));
    case 7:
      return rmSync(target, { recursive: true });
    case 8:
      if (stat?.isSymbolicLink() === true) return;
      return chmodSync(target, [0o755, 0o644, 0o4711, 0o1777][random(4)]!);
    case 9:
      return lchownSync(target, random(3) * 2_000_000, random(5));
    case 10:
      return void (writable && appendFileSync(target, 'more'));
    default:
      return renameSync(path.join(somewhere(root, random), names[random(names.length)]!), target);
  }
}

/** A directory of the tree. */
function somewhere(root: string, random: (below: number) => number): string {
  let at = root;
  for (let depth = random(4); depth > 0; depth--) {
    const inside = readdirSync(at, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    if (inside.length === 0) break;
    at = path.join(at, inside[random(inside.length)]!.name);
  }
  return at;
}
