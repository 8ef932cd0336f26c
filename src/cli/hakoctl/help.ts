import type { Flags } from '../flags.ts';
import { columns } from '../help.ts';
import { isGroup, type Command, type Group, type Leaf, type Tree } from './command.ts';
import { globalFlags } from './globals.ts';
import { tree } from './tree.ts';

/** What `hakoctl` alone prints. */
export function programHelp(): string {
  return sections([
    ['Usage', ['  hakoctl [global options] command [command options] [arguments...]']],
    ['', ["The low-level command line of Hakobune: ctr's commands, at our daemon or at containerd's."]],
    ['Commands', commandRows(tree)],
    ['Global options', flagRows(globalFlags)],
    [
      'Examples',
      columns([
        ['  hakoctl images pull alpine', '# docker.io/library/alpine:latest'],
        ['  hakoctl -n k8s.io containers list', '# what Kubernetes runs'],
        ['  hakoctl gc explain alpine', '# what keeps it on disk'],
        ['  hakoctl completion bash', '# for your shell'],
      ]),
    ],
    ['', ["Run 'hakoctl COMMAND --help' for more information on a command."]],
  ]);
}

export function groupHelp(path: readonly string[], group: Group): string {
  const name = ['hakoctl', ...path].join(' ');
  const options = group.flags === undefined ? '' : ' [options]';
  return sections([
    ['Usage', [`  ${name}${options} command [command options] [arguments...]`]],
    ['', [`${group.summary}.`]],
    ['Aliases', group.aliases === undefined ? [] : [`  ${group.aliases.join(', ')}`]],
    ['Commands', commandRows(group.commands)],
    ['Options', flagRows(group.flags ?? {})],
    ['', [`Run '${name} COMMAND --help' for more information on a command.`]],
  ]);
}

export function leafHelp(path: readonly string[], leaf: Leaf, command: Command): string {
  const examples = command.examples.map(([line, what]): [string, string] => [`  hakoctl ${line}`, `# ${what}`]);
  return sections([
    ['Usage', [`  ${['hakoctl', ...path].join(' ')}${command.usage === '' ? '' : ` ${command.usage}`}`]],
    ['', [`${leaf.summary}.`]],
    ['', command.description === undefined ? [] : [command.description]],
    ['Aliases', leaf.aliases === undefined ? [] : [`  ${leaf.aliases.join(', ')}`]],
    ['Options', flagRows(command.flags)],
    ['Examples', examples.length === 0 ? [] : columns(examples)],
  ]);
}

function sections(parts: readonly (readonly [title: string, lines: readonly string[]])[]): string {
  return parts
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) => [...(title === '' ? [] : [`${title}:`]), ...lines, ''].join('\n'))
    .join('\n');
}

function commandRows(commands: Tree): string[] {
  const shown = Object.entries(commands).filter(([, node]) => node.hidden !== true);
  return columns(
    shown.map(([name, node]) => [
      `  ${[name, ...(node.aliases ?? [])].join(', ')}`,
      `${node.summary}${isGroup(node) ? ' …' : ''}`,
    ]),
  );
}

function flagRows(flags: Flags): string[] {
  const shown = Object.entries(flags).filter(([, spec]) => spec.hidden !== true);
  if (shown.length === 0) return [];
  return columns(
    shown.map(([name, spec]) => {
      const value = spec.kind === 'on' ? '' : ` ${spec.value ?? 'value'}`;
      const short = spec.short === undefined ? '' : `, -${spec.short}${value}`;
      const preset = spec.fallback ?? (spec.preset === true ? 'true' : undefined);
      const notes = [
        ...(preset === undefined ? [] : [`(default: ${preset})`]),
        ...(spec.variable === undefined ? [] : [`[$${spec.variable}]`]),
      ];
      return [`  --${name}${value}${short}`, [spec.help, ...notes].join(' ')];
    }),
  );
}
