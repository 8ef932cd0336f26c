import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import { chainId, fromMessage, ImageGraph, type Descriptor } from '#client/containerd/image-graph.ts';
import { images } from '#client/containerd/images.ts';
import { chooseSnapshotter, snapshots } from '#client/containerd/snapshots.ts';
import { isUnpacked } from '#client/containerd/unpack.ts';
import type { Flags } from '../../flags.ts';
import { print } from '../../output.ts';
import { command } from '../command.ts';
import { findImage } from '../image-names.ts';
import { printTable } from '../listing.ts';
import { binarySize } from '../sizes.ts';
import { spaced } from '../tabs.ts';

export const snapshotterFlag = {
  snapshotter: {
    kind: 'one',
    variable: 'CONTAINERD_SNAPSHOTTER',
    help: 'Snapshotter name. Empty value stands for the default value.',
  },
} as const satisfies Flags;

const json = { kind: 'on', help: 'Print JSON' } as const;

interface Parts {
  readonly status: string;
  readonly size: string;
  readonly complete: boolean;
}

export const check = command({
  usage: '[flags] [<filter> ...]',
  flags: {
    quiet: { kind: 'on', short: 'q', help: 'Print only the ready image refs (fully downloaded and unpacked)' },
    json,
    ...snapshotterFlag,
  },
  examples: [['images check -q', 'images that can run at once']],
  async run({ door }, { flags, rest }) {
    const { images: found } = await images(door).list({ filters: [...rest] });
    if (found.length === 0 && !flags.json) return;
    const snapshotter = await chooseSnapshotter(door, flags.snapshotter);
    const graph = new ImageGraph(door);
    let code = 0;
    const rows = [];
    for (const { name, target: message } of found) {
      const target = fromMessage(message);
      const failed = (what: string, error: unknown): void => {
        print(2, `hakoctl: unable to ${what} ${name}: ${messageOf(error)}\n`);
        code = 1;
      };
      const parts = await partsOf(graph, target).catch((error: unknown): Parts => {
        failed('check', error);
        return { status: 'error', size: '-', complete: false };
      });
      const unpacked = await isUnpacked(door, graph, { target, snapshotter }).catch(
        (error: unknown) => (failed('check unpack for', error), false),
      );
      rows.push({ name, target, ...parts, unpacked });
    }
    const shown = flags.quiet ? rows.filter((row) => row.complete && row.unpacked) : rows;
    printTable(
      {
        rows: shown,
        titles: ['REF', 'TYPE', 'DIGEST', 'STATUS', 'SIZE', 'UNPACKED', ''],
        cells: ({ name, target, status, size, unpacked }) => [
          name,
          target.mediaType,
          target.digest,
          status,
          size,
          String(unpacked),
        ],
        stops: spaced,
        name: ({ name }) => name,
        json: (row) => row,
      },
      flags,
    );
    return code;
  },
});

async function partsOf(graph: ImageGraph, target: Descriptor): Promise<Parts> {
  let required: Descriptor[];
  try {
    const { config, layers } = await graph.manifest((await graph.manifestFor(target)).digest);
    required = [config, ...layers];
  } catch (error) {
    if (codeOf(error) !== 'not-found') throw error;
    return { status: 'unavailable (0/?)', size: `${binarySize(0)}/?`, complete: false };
  }
  const has = await Promise.all(required.map(({ digest }) => graph.has(digest)));
  const present = required.filter((_, index) => has[index]);
  const sum = (parts: readonly Descriptor[]): string => binarySize(parts.reduce((total, { size }) => total + size, 0));
  const complete = present.length === required.length;
  return {
    status: `${complete ? 'complete' : 'incomplete'} (${present.length}/${required.length})`,
    size: `${sum(present)}/${sum(required)}`,
    complete,
  };
}

export const usage = command({
  usage: '[flags] <ref>',
  flags: { json, ...snapshotterFlag },
  takes: [1, 1],
  examples: [['images usage alpine', 'what its layers take on disk']],
  async run(context, { flags, rest: [name = ''] }) {
    const { door } = context;
    const image = await findImage(context, name);
    const snapshotter = await chooseSnapshotter(door, flags.snapshotter);
    const target = fromMessage(image.target);
    const graph = new ImageGraph(door);
    if (!(await isUnpacked(door, graph, { target, snapshotter }))) {
      const hint = `hakoctl snapshots unpack ${target.digest}`;
      throw new HakoError(
        'failed-precondition',
        `image "${name}" is not unpacked in snapshotter "${snapshotter}"; ${hint}`,
      );
    }
    const rows = [];
    for (let key = chainId(await graph.diffIds(target)); key !== '';) {
      const { size, inodes } = await snapshots(door).usage({ snapshotter, key });
      rows.push({ key, size: Number(size), inodes: Number(inodes) });
      key = (await snapshots(door).stat({ snapshotter, key })).info?.parent ?? '';
    }
    printTable(
      {
        rows,
        titles: ['KEY', 'SIZE', 'INODES', ''],
        cells: ({ key, size, inodes }) => [key, binarySize(size), String(inodes), ''],
        stops: spaced,
        name: ({ key }) => key,
        json: (row) => row,
      },
      flags,
    );
  },
});
