import { createReadStream } from 'node:fs';
import { open, rm, type FileHandle } from 'node:fs/promises';
import { hostPlatform, parsePlatform, type PlatformWords } from '#base/platforms.ts';
import { contents } from '#client/containerd/content.ts';
import { fromMessage, ImageGraph } from '#client/containerd/image-graph.ts';
import { dropLayerLabels } from '#client/containerd/layer-labels.ts';
import { exportEnd, imageStore, importEnd, transfer } from '#client/containerd/transfer.ts';
import type { Containerd } from '#client/containerd.ts';
import { UsageFailure } from '../../failure.ts';
import { pour } from '../../output.ts';
import { command } from '../command.ts';
import { findImage, imageIn } from '../image-names.ts';
import { pairs } from '../parse.ts';
import { localHelp } from '../registry-flags.ts';
import { TransferView } from '../transfer-view.ts';
import { snapshotterFlag } from './images-check.ts';

export const exportImages = command({
  usage: '[flags] <out> <image> [<image> ...]',
  description:
    'Writes an OCI archive that Docker reads too. "-" is standard output; progress then goes to standard error.',
  flags: {
    'skip-manifest-json': { kind: 'on', help: 'Do not add Docker compatible manifest.json to archive' },
    'skip-non-distributable': {
      kind: 'on',
      help: 'Do not add non-distributable blobs such as Windows layers to archive',
    },
    platform: { kind: 'many', help: 'Export content of a specific platform' },
    'all-platforms': { kind: 'on', help: 'Exports content from all platforms' },
    local: { kind: 'on', help: localHelp },
  },
  takes: [2, Infinity],
  examples: [
    ['images export alpine.tar alpine', 'into a file'],
    ['images export - alpine nginx | zstd >images.tar.zst', 'two images, compressed'],
  ],
  async run(context, { flags, rest: [out = '', ...words] }) {
    const { door } = context;
    const names = [];
    for (const word of words) names.push((await findImage(context, word)).name);
    await using file = out === '-' ? undefined : await open(out, 'w');
    const view = new TransferView(2);
    using undo = new DisposableStack();
    const source = imageStore({ name: '', references: names.map((name) => ({ name })) });
    const sink = (data: Uint8Array): Promise<void> => (file === undefined ? pour(1, data) : writeAll(file, data));
    const destination = await exportEnd(
      door,
      sink,
      {
        platforms: flags.platform.map(parsePlatform),
        allPlatforms: flags['all-platforms'],
        skipManifestJson: flags['skip-manifest-json'],
        skipNonDistributable: flags['skip-non-distributable'],
      },
      undo,
    );
    try {
      await transfer(door, source, destination, (progress) => view.show(progress));
    } catch (error) {
      // Half an archive is worse than none.
      if (file !== undefined) await rm(out, { force: true });
      throw error;
    }
    view.finish();
  },
});

async function writeAll(file: FileHandle, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length;) at += (await file.write(data, at)).bytesWritten;
}

export const importImages = command({
  usage: '[flags] <in>',
  description: [
    'Reads an OCI or Docker archive, compressed or not; "-" is standard input. Where an OCI archive names its images by tag',
    'alone, --base-name gives what stands before the tag; otherwise they are called import-DATE.',
  ].join('\n'),
  flags: {
    'base-name': {
      kind: 'one',
      fallback: '',
      help: 'Base image name for added images, when provided only images with this name prefix are imported',
    },
    digests: { kind: 'on', help: 'Whether to create digest images' },
    'skip-digest-for-named': {
      kind: 'on',
      help: 'Skip applying --digests option to images named in the importing tar (use it in conjunction with --digests)',
    },
    'index-name': { kind: 'one', fallback: '', help: 'Image name to keep index as, by default index is discarded' },
    'all-platforms': { kind: 'on', help: 'Imports content for all platforms' },
    platform: { kind: 'one', help: 'Imports content for specific platform' },
    'no-unpack': { kind: 'on', help: 'Skip unpacking the images, cannot be used with --discard-unpacked-layers' },
    local: { kind: 'on', help: localHelp },
    'compress-blobs': {
      kind: 'on',
      help: 'Compress uncompressed blobs when creating manifest (Docker format only)',
    },
    'discard-unpacked-layers': { kind: 'on', help: 'Let the garbage collector take the packed layers afterwards' },
    'sync-fs': { kind: 'on', help: 'Without effect: the daemon syncs what it promises' },
    ...snapshotterFlag,
    label: { kind: 'many', help: 'Labels to attach to the image' },
  },
  takes: [1, 1],
  examples: [
    ['images import alpine.tar', 'from a file'],
    ['images import --base-name registry.example/app app-oci.tar', 'where the archive has only tags'],
  ],
  async run(context, { flags, rest: [file = ''] }) {
    if (flags['discard-unpacked-layers'] && flags['no-unpack'])
      throw new UsageFailure('--discard-unpacked-layers and --no-unpack are incompatible options', 1);
    const { door } = context;
    const unpacked = flags.platform === undefined ? hostPlatform() : parsePlatform(flags.platform);
    const prefix = flags['base-name'] === '' ? `import-${today()}` : flags['base-name'];
    using undo = new DisposableStack();
    const data = file === '-' ? process.stdin : await openFile(file);
    const source = await importEnd(door, data, { compress: flags['compress-blobs'] }, undo);
    const destination = imageStore({
      name: flags['index-name'],
      labels: pairs(flags.label),
      platforms: flags['all-platforms'] ? [] : [unpacked],
      references: [
        {
          name: prefix,
          isPrefix: true,
          // A name that we made up gives way to one that the archive has.
          allowOverwrite: flags['base-name'] === '',
          ...(flags.digests ? { addDigest: true, skipNamedDigest: flags['skip-digest-for-named'] } : {}),
        },
      ],
      unpacks: flags['no-unpack'] ? [] : [{ platform: unpacked, snapshotter: flags.snapshotter ?? '' }],
    });
    const view = new TransferView(1);
    const saved = new Set<string>();
    await transfer(door, source, destination, (progress) => {
      if (progress.event === 'saved') saved.add(progress.name);
      view.show(progress);
    });
    view.finish();
    if (flags['discard-unpacked-layers']) for (const name of saved) await discardLayers(door, name, unpacked);
  },
});

/** What is unpacked needs the packed layers no more, but for pushing and exporting. */
async function discardLayers(door: Containerd, name: string, platform: PlatformWords): Promise<void> {
  const target = fromMessage((await imageIn(door, name)).target);
  const { digest } = await new ImageGraph(door).manifestFor(target, platform);
  const { info } = await contents(door).info({ digest });
  if (info !== undefined) await dropLayerLabels(door, info);
}

/** A file that is not there is said before the daemon is asked for anything. */
async function openFile(path: string): Promise<AsyncIterable<Uint8Array>> {
  await (await open(path, 'r')).close();
  return createReadStream(path, { highWaterMark: 256 * 1024 });
}

function today(): string {
  const now = new Date();
  return new Date(now.getTime() - now.getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
}
