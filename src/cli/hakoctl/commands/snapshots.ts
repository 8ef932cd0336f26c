import { kindWord, listSnapshots, snapshots, type SnapshotInfo } from '#client/containerd/snapshots.ts';
import { toDate } from '#client/containerd/times.ts';
import { print } from '../../output.ts';
import { command } from '../command.ts';
import { labelText, printJson, printTable } from '../listing.ts';
import { pairs } from '../parse.ts';
import { each } from '../seek.ts';
import { binarySize } from '../sizes.ts';
import { seekingSnapshot, snapshotterOf } from '../snapshot-seek.ts';
import { spaced } from '../tabs.ts';

const quiet = { kind: 'on', short: 'q', help: 'Print only the keys' } as const;
const json = { kind: 'on', help: 'Print JSON' } as const;

/** The shape that `ctr` prints: Go's names, and nothing where there is nothing. */
const shape = (info: SnapshotInfo): object => ({
  Kind: kindWord(info),
  Name: info.name,
  ...(info.parent === '' ? {} : { Parent: info.parent }),
  ...(Object.keys(info.labels).length === 0 ? {} : { Labels: info.labels }),
  Created: toDate(info.createdAt),
  Updated: toDate(info.updatedAt),
});

export const list = command({
  usage: '[flags] [<filter> ...]',
  flags: { quiet, json },
  examples: [['snapshots list kind==active', 'those that may be written']],
  async run(context, { flags, rest }) {
    const rows = await listSnapshots(context.door, await snapshotterOf(context), rest);
    printTable(
      {
        rows,
        titles: ['KEY', 'PARENT', 'KIND', ''],
        cells: (row) => [row.name, row.parent, kindWord(row), ''],
        stops: spaced,
        name: ({ name }) => name,
        json: shape,
      },
      flags,
    );
  },
});

export const info = command({
  usage: '<key>',
  flags: {},
  takes: [1, 1],
  examples: [['snapshots info web', 'its parent and labels']],
  async run(context, { rest: [key = ''] }) {
    const snapshotter = await snapshotterOf(context);
    const found = await seekingSnapshot(context, snapshotter, key, () =>
      snapshots(context.door).stat({ snapshotter, key }),
    );
    printJson(shape(found.info!));
  },
});

export const usage = command({
  usage: '[flags] [<key> ...]',
  flags: { b: { kind: 'on', help: 'Display size in bytes' }, json },
  examples: [['snapshots usage', 'of all of them']],
  async run(context, { flags, rest }) {
    const { door } = context;
    const snapshotter = await snapshotterOf(context);
    const keys = rest.length > 0 ? rest : (await listSnapshots(door, snapshotter)).map(({ name }) => name);
    const rows = [];
    for (const key of keys) {
      const { size, inodes } = await seekingSnapshot(context, snapshotter, key, () =>
        snapshots(door).usage({ snapshotter, key }),
      );
      rows.push({ key, size: Number(size), inodes: Number(inodes) });
    }
    printTable(
      {
        rows,
        titles: ['KEY', 'SIZE', 'INODES', ''],
        cells: ({ key, size, inodes }) => [key, flags.b ? String(size) : binarySize(size), String(inodes), ''],
        stops: spaced,
        name: ({ key }) => key,
        json: (row) => row,
      },
      flags,
    );
  },
});

export const remove = command({
  usage: '<key> [<key> ...]',
  flags: {},
  takes: [1, Infinity],
  examples: [['snapshots rm web', 'when nothing has it as parent']],
  async run(context, { rest }) {
    const snapshotter = await snapshotterOf(context);
    return each(rest, async (key) => {
      await seekingSnapshot(context, snapshotter, key, () => snapshots(context.door).remove({ snapshotter, key }));
    });
  },
});

export const label = command({
  usage: '<key> [<label>=<value> ...]',
  description: 'An empty value clears the label. Prints the labels that the snapshot has then.',
  flags: {},
  takes: [1, Infinity],
  examples: [['snapshots label web containerd.io/gc.root=kept', 'keep it']],
  async run(context, { rest: [key = '', ...words] }) {
    const snapshotter = await snapshotterOf(context);
    const labels = pairs(words);
    const paths = Object.keys(labels).map((name) => `labels.${name}`);
    const kept = Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== ''));
    const api = snapshots(context.door);
    const found = await seekingSnapshot<{ info?: SnapshotInfo | undefined }>(context, snapshotter, key, () =>
      paths.length === 0
        ? api.stat({ snapshotter, key })
        : api.update({ snapshotter, info: { name: key, labels: kept }, updateMask: { paths } }),
    );
    print(1, `${labelText(found.info?.labels ?? {}, '')}\n`);
  },
});

export const tree = command({
  usage: '[flags]',
  flags: { json },
  takes: [0, 0],
  examples: [['snapshots tree', 'which snapshot stands on which']],
  async run(context, { flags }) {
    const found = await listSnapshots(context.door, await snapshotterOf(context));
    const children = childrenOf(found);
    const roots = found.filter(({ parent }) => parent === '').map(({ name }) => name);
    if (flags.json) return printJson(roots.map((name) => branch(name, children)));
    const lines: string[] = [];
    const draw = (name: string, level: number): void => {
      lines.push(`${'  '.repeat(level)}${level > 0 ? '\\_' : ''} ${name}\n`);
      for (const child of children.get(name) ?? []) draw(child, level + 1);
    };
    for (const root of roots) draw(root, 0);
    print(1, lines.join(''));
  },
});

function childrenOf(found: readonly SnapshotInfo[]): Map<string, string[]> {
  const children = new Map<string, string[]>();
  for (const { name, parent } of found) {
    if (parent === '') continue;
    const known = children.get(parent);
    if (known === undefined) children.set(parent, [name]);
    else known.push(name);
  }
  return children;
}

const branch = (name: string, children: ReadonlyMap<string, readonly string[]>): object => ({
  name,
  children: (children.get(name) ?? []).map((child) => branch(child, children)),
});
