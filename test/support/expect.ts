import assert from 'node:assert/strict';
import type { Outcome } from './guests.ts';

/** Gives the standard output, without the last line's end, of a program that must have ended with `code`. */
export function output(outcome: Outcome, code = 0): string {
  assert.equal(outcome.code, code, `ended with ${outcome.code}\nstdout: ${outcome.stdout}\nstderr: ${outcome.stderr}`);
  return outcome.stdout.replace(/\n$/, '');
}

/** Asserts a failure with one clear line: the code, and an error on standard error that `message` matches. */
export function refusal(outcome: Outcome, message: RegExp, code = 1): void {
  assert.equal(outcome.code, code, `ended with ${outcome.code}\nstdout: ${outcome.stdout}\nstderr: ${outcome.stderr}`);
  assert.match(outcome.stderr, message);
  assert.doesNotMatch(outcome.stderr, /\n\s+at .*:\d+:\d+/, 'a stack reached the client');
}

/** Tries until it holds, for ten seconds; then fails as it failed last. */
export async function eventually(check: () => void | Promise<void>, milliseconds = 10_000): Promise<void> {
  const deadline = Date.now() + milliseconds;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** The rows of a table as clients print it: columns by their heading, apart by two blanks or a tab. */
export function rows(text: string): Record<string, string>[] {
  const [head = '', ...lines] = text.split('\n').filter((line) => line.trim() !== '');
  const columns = [...head.matchAll(/\S+(?: \S+)*/g)].map((match) => ({ name: match[0], at: match.index }));
  return lines.map((line) =>
    Object.fromEntries(columns.map(({ name, at }, i) => [name, line.slice(at, columns[i + 1]?.at).trim()])),
  );
}
