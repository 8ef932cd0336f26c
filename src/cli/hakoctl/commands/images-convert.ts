import { convertImage } from '#client/containerd/convert.ts';
import { fromMessage } from '#client/containerd/image-graph.ts';
import { images } from '#client/containerd/images.ts';
import { withLease } from '#client/containerd/lease-scope.ts';
import { codeOf } from '#base/errors.ts';
import { print } from '../../output.ts';
import { command } from '../command.ts';
import { findImage } from '../image-names.ts';
import { platformsOf } from '../platform-flags.ts';
import { wholeName } from '../seek.ts';

export const convert = command({
  usage: '[flags] <source> <target>',
  description:
    "Prints the digest of the new image. Of an index, only this machine's platform is taken unless told otherwise.",
  flags: {
    uncompress: { kind: 'on', help: 'Convert tar.gz layers to uncompressed tar layers' },
    oci: { kind: 'on', help: 'Convert Docker media types to OCI media types' },
    platform: { kind: 'many', help: 'Convert content of a specific platform' },
    'all-platforms': { kind: 'on', help: 'Convert content of all platforms' },
  },
  takes: [2, 2],
  examples: [['images convert --oci --uncompress alpine alpine:plain', 'for a file system that packs by itself']],
  async run(context, { flags, rest: [source = '', target = ''] }) {
    const { door } = context;
    const image = await findImage(context, source);
    const platforms = flags['all-platforms'] ? [] : platformsOf(flags.platform, false);
    const name = wholeName(target);
    const request = { uncompress: flags.uncompress, toOci: flags.oci, platforms };
    const made = await withLease(door, async (leased) => {
      const descriptor = await convertImage(leased, fromMessage(image.target), request);
      const { mediaType, digest, size } = descriptor;
      const api = images(leased);
      const fresh = { name, labels: image.labels, target: { mediaType, digest, size: BigInt(size) } };
      if (name === image.name) await api.update({ image: fresh });
      else {
        await api.delete({ name }).catch((error: unknown) => {
          if (codeOf(error) !== 'not-found') throw error;
        });
        await api.create({ image: fresh });
      }
      return descriptor;
    });
    print(1, `${made.digest}\n`);
  },
});
