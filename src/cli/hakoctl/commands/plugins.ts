import { formatPlatform } from '#base/platforms.ts';
import { introspection, type Plugin } from '#client/containerd/introspection.ts';
import { print } from '../../output.ts';
import { command } from '../command.ts';
import { byBytes, printTable } from '../listing.ts';
import { setTabs, wide } from '../tabs.ts';

export const list = command({
  usage: '[flags] [<filter> ...]',
  flags: {
    quiet: { kind: 'on', short: 'q', help: 'Print only the plugin ids' },
    detailed: { kind: 'on', short: 'd', help: 'Print detailed information about each plugin' },
    json: { kind: 'on', help: 'Print JSON' },
  },
  examples: [["plugins list 'type==io.containerd.snapshotter.v1'", 'the snapshotters']],
  async run({ door }, { flags, rest }) {
    const { plugins } = await introspection(door).plugins({ filters: [...rest] });
    if (flags.detailed && !flags.json && !flags.quiet) return print(1, setTabs(plugins.flatMap(details), wide));
    printTable(
      {
        rows: plugins,
        titles: ['TYPE', 'ID', 'PLATFORMS', 'STATUS', ''],
        cells: (plugin) => [plugin.type, plugin.id, platformsOf(plugin) || '-', statusOf(plugin), ''],
        stops: wide,
        name: ({ id }) => id,
        json: (plugin) => ({
          type: plugin.type,
          id: plugin.id,
          status: statusOf(plugin),
          requires: plugin.requires,
          platforms: plugin.platforms.map(platformText),
          exports: plugin.exports,
          capabilities: plugin.capabilities,
          ...(plugin.initErr && { error: { code: plugin.initErr.code, message: plugin.initErr.message } }),
        }),
      },
      flags,
    );
  },
});

const platformText = ({ os, architecture, variant }: Plugin['platforms'][number]): string =>
  formatPlatform({ os, architecture, variant });

const platformsOf = ({ platforms }: Plugin): string =>
  [...new Set(platforms.map(platformText))].sort(byBytes).join(',');

function statusOf({ initErr }: Plugin): string {
  if (initErr === undefined) return 'ok';
  return initErr.message.includes('skip plugin') ? 'skip' : 'error';
}

/** gRPC's names of its codes. */
const codeNames = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
];

/** The lines of `--detailed`, with the spaces that `ctr` has between its cells. */
function details(plugin: Plugin, index: number): string[][] {
  const { initErr, requires, exports, capabilities } = plugin;
  const platforms = platformsOf(plugin);
  const exported = Object.entries(exports).sort(([a], [b]) => byBytes(a, b));
  return [
    ...(index === 0 ? [] : [['', '', '', '']]),
    ['Type:', ` ${plugin.type}`],
    ['ID:', ` ${plugin.id}`],
    ...(requires.length === 0 ? [] : [['Requires:', ''], ...requires.map((one) => ['', ` ${one}`])]),
    ...(platforms === '' ? [] : [['Platforms:', ` ${platforms}`]]),
    ...(exported.length === 0
      ? []
      : [['Exports:', ''], ...exported.map(([key, value]) => ['', ` ${key} `, ` ${value}`])]),
    ...(capabilities.length === 0 ? [] : [['Capabilities:', ` ${capabilities.join(',')}`]]),
    ...(initErr === undefined
      ? []
      : [
          ['Error:', ''],
          ['', ' Code:', ` ${codeNames[initErr.code] ?? `Code(${initErr.code})`}`],
          ['', ' Message:', ` ${initErr.message}`],
        ]),
  ];
}
