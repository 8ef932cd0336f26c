import { parseDigest } from '#base/digest.ts';
import { notFound } from '#base/errors.ts';
import { fromMessage } from '#client/containerd/image-graph.ts';
import { images } from '#client/containerd/images.ts';
import { chooseSnapshotter } from '#client/containerd/snapshots.ts';
import { unpackImage } from '#client/containerd/unpack.ts';
import { print } from '../../output.ts';
import { command, type Context } from '../command.ts';
import { findImage } from '../image-names.ts';
import { snapshotterFlag } from './images-check.ts';

export const unpack = command({
  usage: '[flags] <digest or image>',
  flags: {
    'sync-fs': { kind: 'on', help: 'Synchronize the underlying filesystem when the layers are unpacked' },
    ...snapshotterFlag,
  },
  takes: [1, 1],
  examples: [['snapshots unpack alpine', 'after "images pull --no-unpack"']],
  async run(context, { flags, rest: [word = ''] }) {
    const image = await targetOf(context, word);
    const target = fromMessage(image);
    const asked = flags.snapshotter ?? String(context.group['snapshotter'] ?? '');
    const snapshotter = await chooseSnapshotter(context.door, asked);
    print(1, `unpacking ${target.digest} (${target.mediaType})...`);
    try {
      await unpackImage(context.door, { target, snapshotter, syncFs: flags['sync-fs'] });
    } catch (error) {
      print(1, '\n');
      throw error;
    }
    print(1, 'done\n');
  },
});

/** The target of that digest, which some image must have; or of an image's name. */
async function targetOf(context: Context, word: string): ReturnType<typeof anyTarget> {
  if (!word.startsWith('sha256:')) return (await findImage(context, word)).target;
  parseDigest(word);
  return anyTarget(context.door, word);
}

async function anyTarget(door: Context['door'], digest: string) {
  const { images: found } = await images(door).list({ filters: [`target.digest==${digest}`] });
  const [first] = found;
  if (first === undefined) throw notFound('manifest', digest);
  return first.target;
}
