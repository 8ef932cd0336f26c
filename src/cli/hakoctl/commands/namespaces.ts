import { invalid } from '#base/errors.ts';
import { namespaces } from '#client/containerd/namespaces.ts';
import { print } from '../../output.ts';
import { command } from '../command.ts';
import { labelText, printTable } from '../listing.ts';
import { pairs } from '../parse.ts';
import { each } from '../seek.ts';
import { spaced } from '../tabs.ts';

export const list = command({
  usage: '[flags]',
  flags: {
    quiet: { kind: 'on', short: 'q', help: 'Print only the namespace name' },
    json: { kind: 'on', help: 'Print JSON' },
  },
  examples: [['namespaces list --json', 'with their labels, for a program']],
  async run({ door }, { flags }) {
    const { namespaces: found } = await namespaces(door).list({});
    printTable(
      {
        rows: found,
        titles: ['NAME', 'LABELS', ''],
        cells: ({ name, labels }) => [name, labelText(labels, ''), ''],
        stops: spaced,
        name: ({ name }) => name,
        json: ({ name, labels }) => ({ name, labels }),
      },
      flags,
    );
  },
});

export const create = command({
  usage: '<name> [<key>=<value> ...]',
  flags: {},
  examples: [['namespaces create ci team=build', 'with a label']],
  async run({ door }, { rest }) {
    const [name, ...labels] = rest;
    if (name === undefined) throw invalid('please specify a namespace');
    await namespaces(door).create({ namespace: { name, labels: pairs(labels) } });
  },
});

export const label = command({
  usage: '<name> [<key>=<value> ...]',
  description: 'An empty value clears the label.',
  flags: {},
  examples: [
    ['namespaces label ci team=build', 'set it'],
    ['namespaces label ci team=', 'clear it'],
  ],
  async run({ door }, { rest }) {
    const [name, ...words] = rest;
    if (name === undefined) throw invalid('please specify a namespace');
    for (const [key, value] of Object.entries(pairs(words))) {
      await namespaces(door).update({
        namespace: { name, labels: { [key]: value } },
        updateMask: { paths: [`labels.${key}`] },
      });
    }
  },
});

export const remove = command({
  usage: '[flags] <name> [<name> ...]',
  description: 'A namespace must be empty before it can go.',
  flags: { cgroup: { kind: 'on', short: 'c', help: "Delete the namespace's cgroup" } },
  takes: [1, Infinity],
  examples: [['namespaces remove ci', 'when nothing is left in it']],
  async run({ door }, { flags, rest }) {
    return each(rest, async (name) => {
      await namespaces(door).delete({ name });
      if (flags.cgroup) await removeCgroup(name);
      print(1, `${name}\n`);
    });
  },
});

/** As containerd's client does: the cgroup that tasks of the namespace lived in, where it is left and empty. */
async function removeCgroup(name: string): Promise<void> {
  const { rmdir } = await import('node:fs/promises');
  if (name.includes('/') || name.startsWith('.')) return;
  await rmdir(`/sys/fs/cgroup/${name}`).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
}
