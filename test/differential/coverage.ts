import { execFileSync } from 'node:child_process';

/** One command of ctr, as its help tells of it. */
interface Command {
  /** Every name that each word of it has: `[['images', 'image', 'i'], ['list', 'ls']]`. */
  readonly path: readonly (readonly string[])[];
  /** Every name that each flag has, without dashes. */
  readonly flags: readonly (readonly string[])[];
  readonly children: readonly Command[];
}

/** The commands and flags of ctr that none of the lines asks for, as `images list --quiet`; a leaf's flags with it. */
export function unasked(ctr: string, lines: readonly string[]): string[] {
  const root = commandOf(ctr, []);
  const calls = lines.flatMap((line) => callsIn(line)).map((words) => resolve(root, words));
  return [...missing(root, calls)];
}

function* missing(command: Command, calls: readonly Call[]): Generator<string> {
  // Flags of a group stand before the word that follows it, and are counted with those that follow.
  const own = calls.filter((call) => isIn(command, call.command));
  const name = command.path.map((names) => names[0]).join(' ');
  if (command.children.length === 0 && own.length === 0) yield name;
  const isRoot = command.path.length === 0;
  for (const flag of command.flags) {
    const asked = (isRoot ? calls : own).some((call) =>
      (isRoot ? call.globals : call.flags).some((one) => flag.includes(one)),
    );
    if (!asked) yield `${name} --${flag[0]}`.trim();
  }
  for (const child of command.children) yield* missing(child, calls);
}

const isIn = (group: Command, command: Command): boolean =>
  group === command || group.children.some((child) => isIn(child, command));

function commandOf(ctr: string, path: readonly (readonly string[])[]): Command {
  const words = path.map((names) => names[0]!);
  const help = execFileSync(ctr, [...words, '--help'], { encoding: 'utf8' });
  const section = (title: string): string[] =>
    (help.split(new RegExp(`^${title}:\\n`, 'm'))[1] ?? '')
      .split(/^\S/m, 1)[0]!
      .split('\n')
      .filter((line) => /^ {3}\S/.test(line));
  const flags = section('(?:GLOBAL )?OPTIONS')
    .filter((line) => line.trimStart().startsWith('-'))
    .map((line) =>
      [
        ...line
          .trim()
          .split(/ {2,}/, 1)[0]!
          .matchAll(/(?<=^|[\s[])--?([\w-]+)/g),
      ].map((match) => match[1]!),
    )
    .filter((names) => !names.includes('help'));
  const children = section('COMMANDS')
    .map((line) => line.trim().split(/ {2,}/, 1)[0]!.split(', '))
    .filter(([name]) => name !== 'help')
    .map((names) => commandOf(ctr, [...path, names]));
  return { path, flags, children };
}

/** The words after each `ctr` of a shell line. */
function callsIn(line: string): string[][] {
  return [...line.matchAll(/(?<=^|[\s;&|({`'"])ctr +([^|;&\n]*)/g)].map((match) =>
    match[1]!.split(/\s+/).map((word) => word.replaceAll(/^["'(]+|["')]+$/g, '')),
  );
}

interface Call {
  readonly command: Command;
  readonly globals: readonly string[];
  readonly flags: readonly string[];
}

function resolve(root: Command, words: readonly string[]): Call {
  let command = root;
  const globals: string[] = [];
  const flags: string[] = [];
  for (const word of words) {
    const child = command.children.find(({ path }) => path.at(-1)!.includes(word));
    if (word.startsWith('-')) (command === root ? globals : flags).push(...flagsIn(word));
    else if (child !== undefined) command = child;
  }
  return { command, globals, flags };
}

/** The names of the flags in a word: `--label=x` has one, `-it` may be two. */
function flagsIn(word: string): string[] {
  const name = word.replace(/^--?/, '').replace(/=.*$/, '');
  return word.startsWith('--') ? [name] : [name, ...name];
}
