import { messageOf } from '#base/errors.ts';
import { formatPlatform } from '#base/platforms.ts';
import { fromMessage, ImageGraph } from '#client/containerd/image-graph.ts';
import { images, type Image } from '#client/containerd/images.ts';
import { toDate } from '#client/containerd/times.ts';
import type { Containerd } from '#client/containerd.ts';
import { print } from '../../output.ts';
import { command } from '../command.ts';
import { byBytes, labelText, printTable } from '../listing.ts';
import { binarySize } from '../sizes.ts';
import { spaced } from '../tabs.ts';

interface Row {
  readonly image: Image;
  readonly size: number;
  readonly platforms: readonly string[];
}

export const list = command({
  usage: '[flags] [<filter> ...]',
  description: 'SIZE is what this machine needs of the image, packed. PLATFORMS are those the image is for.',
  flags: {
    quiet: { kind: 'on', short: 'q', help: 'Print only the image refs' },
    json: { kind: 'on', help: 'Print JSON' },
  },
  examples: [
    ["images list 'name~=nginx'", 'by a regular expression'],
    ['images list --json', 'for a program'],
  ],
  async run({ door }, { flags, rest }) {
    const { images: found } = await images(door).list({ filters: [...rest] });
    printTable(
      {
        rows: flags.quiet ? found.map((image) => ({ image, size: 0, platforms: [] })) : await rowsOf(door, found),
        titles: ['REF', 'TYPE', 'DIGEST', 'SIZE', 'PLATFORMS', 'LABELS', ''],
        cells: ({ image, size, platforms }) => [
          image.name,
          image.target?.mediaType ?? '',
          image.target?.digest ?? '',
          binarySize(size),
          platforms.length === 0 ? '-' : platforms.join(','),
          labelText(image.labels),
          '',
        ],
        stops: spaced,
        name: ({ image }) => image.name,
        json: ({ image, size, platforms }) => ({
          name: image.name,
          target: fromMessage(image.target),
          size,
          platforms,
          labels: image.labels,
          createdAt: toDate(image.createdAt),
          updatedAt: toDate(image.updatedAt),
        }),
      },
      flags,
    );
  },
});

/** How many images are looked into side by side: enough to hide the way to the daemon, few enough to bear. */
const width = 32;

async function rowsOf(door: Containerd, found: readonly Image[]): Promise<Row[]> {
  const graph = new ImageGraph(door);
  const rows: Row[] = [];
  for (let at = 0; at < found.length; at += width)
    rows.push(...(await Promise.all(found.slice(at, at + width).map((image) => rowOf(graph, image)))));
  return rows;
}

/** What is missing does not hide the image: it is said, and the rest of the line is what is known. */
async function rowOf(graph: ImageGraph, image: Image): Promise<Row> {
  const target = fromMessage(image.target);
  const complain = (what: string, error: unknown): void =>
    print(2, `hakoctl: failed ${what} for image ${image.name}: ${messageOf(error)}\n`);
  const size = await graph
    .closure(target)
    .then((parts) => parts.reduce((sum, part) => sum + part.size, 0))
    .catch((error: unknown) => (complain('calculating size', error), target.size));
  const platforms = await graph
    .platforms(target)
    .then((all) => [...new Set(all.map(formatPlatform))].sort(byBytes))
    .catch((error: unknown) => (complain('resolving platform', error), []));
  return { image, size, platforms };
}
