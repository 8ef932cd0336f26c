import { formatPlatform } from '#base/platforms.ts';
import { chainId, fromMessage, ImageGraph } from '#client/containerd/image-graph.ts';
import { images } from '#client/containerd/images.ts';
import { imageStore, transfer } from '#client/containerd/transfer.ts';
import { UsageFailure } from '../../failure.ts';
import type { Flags } from '../../flags.ts';
import { print } from '../../output.ts';
import { command, type Context } from '../command.ts';
import { pairs } from '../parse.ts';
import { platformsOf } from '../platform-flags.ts';
import { localHelp, registryFlags, registryOf } from '../registry-flags.ts';
import { wholeName } from '../seek.ts';
import { TransferView } from '../transfer-view.ts';
import { snapshotterFlag } from './images-check.ts';

/** What pulling and `content fetch` have in common. */
export const pullFlags = {
  ...registryFlags,
  label: { kind: 'many', help: 'Labels to attach to the image' },
  platform: { kind: 'many', help: 'Pull content from a specific platform' },
  'all-platforms': { kind: 'on', help: 'Pull content and metadata from all platforms' },
  'all-metadata': { kind: 'on', hidden: true, help: '(Deprecated: use skip-metadata) Pull metadata for all platforms' },
  'skip-metadata': {
    kind: 'on',
    help: 'Skips metadata for unused platforms (Image may be unable to be pushed without metadata)',
  },
} as const satisfies Flags;

export const pull = command({
  usage: '[flags] <ref>',
  description:
    'The daemon fetches the image and unpacks it. A short name is completed: "alpine" is docker.io/library/alpine:latest.',
  flags: {
    ...pullFlags,
    ...snapshotterFlag,
    'no-unpack': { kind: 'on', help: 'Do not unpack the layers' },
    'print-chainid': { kind: 'on', help: "Print the resulting image's chain ID" },
    'max-concurrent-downloads': { kind: 'one', help: "Without effect: the daemon's configuration says" },
    local: { kind: 'on', help: localHelp },
    'sync-fs': { kind: 'on', help: 'Without effect: the daemon syncs what it promises' },
  },
  takes: [1, 1],
  examples: [
    ['images pull alpine', 'docker.io/library/alpine:latest'],
    ['images pull --plain-http 127.0.0.1:5000/app:1', 'from a registry of your own'],
    ['images pull -u me registry.example/app:1', 'asks for a password'],
  ],
  async run(context, { flags, rest: [ref = ''] }) {
    const platforms = platformsOf(flags.platform, flags['all-platforms']);
    const snapshotter = flags.snapshotter ?? '';
    const unpacks = flags['no-unpack'] ? [] : platforms.map((platform) => ({ platform, snapshotter }));
    const { door } = context;
    const name = await pullInto(context, ref, flags, { platforms, unpacks });
    if (!flags['print-chainid']) return;
    const { image } = await images(door).get({ name });
    for (const platform of platforms) {
      const chain = chainId(await new ImageGraph(door).diffIds(fromMessage(image?.target), platform));
      print(1, `image chain ID: ${chain}${platforms.length > 1 ? ` (${formatPlatform(platform)})` : ''}\n`);
    }
  },
});

type PullValues = Parameters<typeof registryOf>[2] & {
  readonly label: readonly string[];
  readonly 'skip-metadata': boolean;
};
type Store = Parameters<typeof imageStore>[0];

/** Pulls through the daemon, showing how it goes on; resolves with the image's whole name. */
export async function pullInto(
  { door }: Context,
  ref: string,
  flags: PullValues,
  store: Pick<Store, 'platforms' | 'unpacks'>,
): Promise<string> {
  const name = wholeName(ref);
  if (name === '') throw new UsageFailure('please provide an image reference to pull', 1);
  using undo = new DisposableStack();
  const source = await registryOf(door, name, flags, undo);
  const destination = imageStore({
    name,
    labels: pairs(flags.label),
    allMetadata: !flags['skip-metadata'],
    ...store,
  });
  const view = new TransferView(1);
  await transfer(door, source, destination, (progress) => view.show(progress));
  view.finish();
  return name;
}
