import type { Flags } from './flags.ts';

export interface HelpText {
  /** Behind the program's name: `run [OPTIONS] IMAGE [COMMAND] [ARG...]`. */
  readonly usage: string;
  readonly summary: string;
  readonly flags: Flags;
  /** Command lines without the program's name, and what they do. */
  readonly examples: readonly (readonly [command: string, what: string])[];
}

/** The help of a command, in Docker's layout with examples behind it. */
export function commandHelp(program: string, text: HelpText): string {
  const parts = [`Usage:  ${program} ${text.usage}`, '', text.summary];
  const rows = flagRows(text.flags);
  if (rows.length > 0) parts.push('', 'Options:', ...columns(rows));
  if (text.examples.length > 0) {
    parts.push(
      '',
      'Examples:',
      ...columns(text.examples.map(([command, what]) => [`  ${program} ${command}`, `# ${what}`])),
    );
  }
  return `${parts.join('\n')}\n`;
}

export function flagRows(flags: Flags): [string, string][] {
  return Object.entries(flags)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, spec]) => {
      const short = spec.short === undefined ? '    ' : `-${spec.short}, `;
      const value = spec.kind === 'on' ? '' : ` ${spec.value ?? (spec.kind === 'many' ? 'list' : 'string')}`;
      return [`  ${short}--${name}${value}`, `${spec.help}${spec.preset === true ? ' (default true)' : ''}`];
    });
}

/** Two columns; the second begins where the longest of the first ends. */
export function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length)) + 3;
  const indent = `\n${' '.repeat(width)}`;
  return rows.map(([left, right]) => `${left.padEnd(width)}${right.replaceAll('\n', indent)}`);
}
