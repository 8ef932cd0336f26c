import { humanSize } from '#base/units.ts';
import type { ContainerSummary } from '#client/types.ts';
import { command } from '../../command.ts';
import { wholeNumber } from '../../flags.ts';
import { printListing, type Field } from '../../listing.ts';
import { ellipsis } from '../../table.ts';
import { goTime, imageName, printPorts, quote, shortId, since } from '../facts.ts';
import { filters } from '../filters.ts';

export const ps = command({
  usage: 'ps [OPTIONS]',
  summary: 'List containers',
  flags: {
    all: { kind: 'on', short: 'a', help: 'Show all containers (default shows just running)' },
    filter: {
      kind: 'many',
      short: 'f',
      value: 'filter',
      help: 'Filter output (status=…, name=…, label=…, ancestor=…)',
    },
    format: { kind: 'one', help: "'table', 'table TEMPLATE', 'json' or a Go template" },
    json: { kind: 'on', help: "Print the API's objects as a JSON array" },
    last: { kind: 'one', short: 'n', value: 'int', help: 'Show n last created containers (includes all states)' },
    latest: { kind: 'on', short: 'l', help: 'Show the latest created container (includes all states)' },
    'no-trunc': { kind: 'on', help: "Don't truncate output" },
    quiet: { kind: 'on', short: 'q', help: 'Only display container IDs' },
    size: { kind: 'on', short: 's', help: 'Display total file sizes' },
  },
  takes: [0, 0],
  examples: [
    ['ps', 'what is running'],
    ['ps -a --filter status=exited', 'what has ended'],
    ["ps --format '{{.Names}}: {{.Status}}'", 'a layout of your own'],
  ],
  async run({ client }, { flags }) {
    const limit = flags.latest ? 1 : Math.max(0, wholeNumber('--last', flags.last) ?? 0);
    const size = flags.size || /\.Size\b/.test(flags.format ?? '');
    const rows = await client.listContainers({ all: flags.all, limit, size, filters: filters(flags.filter) });
    await printListing({
      rows,
      fields: fields(!flags['no-trunc']),
      shown: ['ID', 'Image', 'Command', 'RunningFor', 'Status', 'Ports', 'Names', ...(flags.size ? ['Size'] : [])],
      quiet: flags.quiet ? 'ID' : undefined,
      format: flags.format,
      json: flags.json,
    });
  },
});

/** By Docker's names, in the order of the alphabet as `--format json` prints them. */
const fields = (short: boolean): Record<string, Field<ContainerSummary>> => ({
  Command: { title: 'COMMAND', value: ({ Command }) => quote(short ? ellipsis(Command, 20) : Command), least: 8 },
  CreatedAt: { title: 'CREATED AT', value: ({ Created }) => goTime(Created) },
  ID: { title: 'CONTAINER ID', value: ({ Id }) => (short ? shortId(Id) : Id) },
  Image: { title: 'IMAGE', value: ({ Image, ImageID }) => (short ? imageName(Image, ImageID) : Image), least: 12 },
  Labels: {
    title: 'LABELS',
    value: ({ Labels }) =>
      Object.entries(Labels ?? {})
        .map((pair) => pair.join('='))
        .sort()
        .join(','),
  },
  LocalVolumes: {
    title: 'LOCAL VOLUMES',
    value: ({ Mounts }) => String((Mounts ?? []).filter(({ Driver }) => Driver === 'local').length),
  },
  Mounts: {
    title: 'MOUNTS',
    value: ({ Mounts }) => (Mounts ?? []).map(({ Name, Source }) => mountName(Name, Source, short)).join(','),
  },
  Names: { title: 'NAMES', value: ({ Names }) => names(Names ?? [], short) },
  Networks: {
    title: 'NETWORKS',
    value: ({ NetworkSettings }) => Object.keys(NetworkSettings?.Networks ?? {}).join(','),
  },
  Ports: { title: 'PORTS', value: ({ Ports }) => printPorts(Ports ?? []), least: 12 },
  RunningFor: { title: 'CREATED', value: ({ Created }) => since(Created) },
  Size: { title: 'SIZE', value: sizes },
  State: { title: 'STATE', value: ({ State }) => State },
  Status: { title: 'STATUS', value: ({ Status }) => Status },
});

function names(all: readonly string[], short: boolean): string {
  const plain = all.map((name) => name.replace(/^\//, ''));
  return short ? (plain.find((name) => !name.includes('/')) ?? '') : plain.join(',');
}

function mountName(name: string | undefined, source: string, short: boolean): string {
  const text = name === undefined || name === '' ? source : name;
  return short ? ellipsis(text, 15) : text;
}

function sizes({ SizeRw = 0, SizeRootFs = 0 }: ContainerSummary): string {
  const own = humanSize(SizeRw, 3);
  return SizeRootFs > 0 ? `${own} (virtual ${humanSize(SizeRootFs, 3)})` : own;
}
