import type { Flags } from '../flags.ts';
import { columns, flagRows } from '../help.ts';
import { groups, sections, type Entry } from './commands.ts';

const entryRows = (entries: Readonly<Record<string, Entry>>): [string, string][] =>
  Object.entries(entries).map(([name, { summary }]) => [`  ${name}`, summary]);

/** What `hako` alone prints. */
export function programHelp(flags: Flags): string {
  const lines = ['Usage:  hako [OPTIONS] COMMAND', '', 'Run and manage containers.'];
  for (const [title, entries] of Object.entries(sections)) lines.push('', `${title}:`, ...columns(entryRows(entries)));
  const groupRows = Object.entries(groups).map(([name, { summary }]): [string, string] => [`  ${name}`, summary]);
  lines.push('', 'Groups:', ...columns(groupRows), '', 'Options:', ...columns(flagRows(flags)));
  lines.push(
    '',
    'Examples:',
    ...columns([
      ['  hako run -it --rm alpine sh', '# a shell in a new container'],
      ['  hako ps -a', '# all containers, running or not'],
      ['  hako logs -f web', '# follow what a container prints'],
    ]),
  );
  lines.push('', "Run 'hako COMMAND --help' for more information on a command.");
  return `${lines.join('\n')}\n`;
}

export function groupHelp(name: string): string {
  const group = groups[name]!;
  const lines = [
    `Usage:  hako ${name} COMMAND`,
    '',
    group.summary,
    '',
    'Commands:',
    ...columns(entryRows(group.commands)),
  ];
  lines.push('', `Run 'hako ${name} COMMAND --help' for more information on a command.`);
  return `${lines.join('\n')}\n`;
}
