import { invalid } from '#base/errors.ts';
import type { ActiveMount } from '#core/activations.ts';
import type { Mount } from '#core/mounts.ts';

/** Characters of one mount, all that is filled in included: far more than mount(2) takes. */
const most = 1024 * 1024;
const longest = 64 * 1024;

/**
 * Fills in `{{ mount 0 }}` and its like in source, target and options: `source`, `target` and `mount` (where it is
 * mounted) of an earlier mount, and `overlay A B`, the mount points from one to another parted by colons.
 */
export function formatMount(mount: Mount, before: readonly ActiveMount[]): Mount {
  let room = most;
  const fill = (text: string): string => {
    // What repeats something that repeats a third thing outgrows memory before it is ever tried.
    const done = text.length > longest ? text : filled(text, before);
    room -= done.length;
    if (text.length > longest || room < 0)
      throw invalid(`mount of type "${mount.type}" has too much text to be filled in: want at most ${most} characters`);
    return done;
  };
  return {
    ...mount,
    source: fill(mount.source),
    ...(mount.target === undefined ? {} : { target: fill(mount.target) }),
    options: mount.options.map(fill),
  };
}

function filled(text: string, before: readonly ActiveMount[]): string {
  if (!text.includes('{{')) return text;
  const done = text.replaceAll(/\{\{-?\s*(\w+)((?:\s+-?\d+)*)\s*-?\}\}/g, (_, word: string, rest: string) => {
    const numbers = rest
      .trim()
      .split(/\s+/)
      .filter((one) => one !== '')
      .map(Number);
    return valueOf(word, numbers, before, text);
  });
  if (done.includes('{{'))
    throw invalid(`mount "${text}": want {{ source N }}, {{ target N }}, {{ mount N }} or {{ overlay A B }}`);
  return done;
}

function valueOf(word: string, numbers: readonly number[], before: readonly ActiveMount[], text: string): string {
  const one = (n: number | undefined): ActiveMount => {
    const found = n === undefined ? undefined : before[n];
    if (found === undefined)
      throw invalid(`mount "${text}": index out of bounds: ${n}, has ${before.length} active mounts`);
    return found;
  };
  const [first, last] = numbers;
  if (word === 'overlay' && numbers.length === 2 && first !== undefined && last !== undefined) {
    const step = first > last ? -1 : 1;
    const points: string[] = [];
    for (let n = first; n !== last + step; n += step) points.push(one(n).mountPoint);
    return points.join(':');
  }
  if (numbers.length === 1 && word === 'source') return one(first).mount.source;
  if (numbers.length === 1 && word === 'target') return one(first).mount.target ?? '';
  if (numbers.length === 1 && word === 'mount') return one(first).mountPoint;
  throw invalid(
    `mount "${text}": "${word}" with ${numbers.length} numbers is none of source, target, mount and overlay`,
  );
}
