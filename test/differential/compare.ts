import type { Outcome } from '../support/guests.ts';
import type { Difference, Saying } from './differences.ts';

const streams = ['stdout', 'stderr'] as const;

/** Says how the two sides differ, or undefined where they do not. Both are in their normalised form. */
export function difference(theirs: Outcome, ours: Outcome): string | undefined {
  const found: string[] = [];
  if (theirs.code !== ours.code) found.push(`exit code: theirs ${theirs.code}, ours ${ours.code}`);
  for (const stream of streams)
    if (theirs[stream] !== ours[stream]) found.push(`${stream}:\n${changes(theirs[stream], ours[stream])}`);
  if (found.length > 0 && theirs.stderr === ours.stderr && theirs.stderr !== '')
    found.push(`both on stderr:\n${theirs.stderr.replaceAll(/^/gm, '    ')}`);
  return found.length === 0 ? undefined : found.join('\n');
}

/** Says what a listed difference is not as it is listed, or undefined where it is. */
export function unlike(listed: Difference, theirs: Outcome, ours: Outcome): string | undefined {
  const found = difference(theirs, ours);
  if (found === undefined) return `it is listed as a difference and is none any more: remove it from the list`;
  const rest = [...misses('theirs', listed.theirs, theirs), ...misses('ours', listed.ours, ours)];
  for (const part of ['code', ...streams] as const) {
    const said = listed.theirs[part] !== undefined || listed.ours[part] !== undefined;
    if (!said && theirs[part] !== ours[part]) rest.push(`its ${part} differs, which is not listed`);
  }
  return rest.length === 0 ? undefined : `${rest.join('\n')}\n${found}`;
}

function* misses(side: string, saying: Saying, outcome: Outcome): Generator<string> {
  if (saying.code !== undefined && saying.code !== outcome.code)
    yield `${side}: listed with exit code ${saying.code}, was ${outcome.code}`;
  for (const stream of streams) {
    const pattern = saying[stream];
    if (pattern !== undefined && !pattern.test(outcome[stream]))
      yield `${side}: ${stream} does not match ${String(pattern)}`;
  }
}

/** What only they say, what only we say, and one line before them. */
function changes(theirs: string, ours: string): string {
  const [a, b] = [theirs.replace(/\n$/, '').split('\n'), ours.replace(/\n$/, '').split('\n')];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const shown = (mark: string, lines: string[]): string[] => lines.map((line) => `    ${mark} ${line}`);
  return [
    ...shown(' ', a.slice(Math.max(0, start - 1), start)),
    ...shown('-', a.slice(start, a.length - end)),
    ...shown('+', b.slice(start, b.length - end)),
  ].join('\n');
}
