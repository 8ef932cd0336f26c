import { codeOf } from '#base/errors.ts';
import { parsePlatform } from '#base/platforms.ts';
import { parseReference } from '#base/reference.ts';
import { images } from '#client/containerd/images.ts';
import { leaseId } from '#client/containerd/lease-scope.ts';
import { contents } from '#client/containerd/content.ts';
import { imageStore, transfer } from '#client/containerd/transfer.ts';
import { print } from '../../output.ts';
import { command, type Context } from '../command.ts';
import { findImage } from '../image-names.ts';
import { localHelp, registryFlags, registryOf } from '../registry-flags.ts';
import { wholeName } from '../seek.ts';
import { TransferView } from '../transfer-view.ts';

export const push = command({
  usage: '[flags] <remote> [<local>]',
  description: 'The daemon pushes the image that is called <local>, or as the remote one. Short names are completed.',
  flags: {
    ...registryFlags,
    manifest: { kind: 'one', help: 'Digest of manifest' },
    'manifest-type': {
      kind: 'one',
      fallback: 'application/vnd.oci.image.manifest.v1+json',
      help: 'Media type of manifest digest',
    },
    platform: { kind: 'many', help: 'Push content from a specific platform' },
    'max-concurrent-uploaded-layers': { kind: 'one', help: "Without effect: the daemon's configuration says" },
    local: { kind: 'on', help: localHelp },
    'allow-non-distributable-blobs': { kind: 'on', help: 'Without effect: what the registry has not is pushed' },
  },
  takes: [1, 2],
  examples: [['images push --plain-http 127.0.0.1:5000/app:1 app', 'under another name']],
  async run(context, { flags, rest: [remote = '', local] }) {
    const { door } = context;
    const reference = wholeName(remote);
    await using made = new AsyncDisposableStack();
    const name =
      flags.manifest === undefined
        ? (await findImage(context, local ?? remote)).name
        : await nameManifest(context, flags.manifest, flags['manifest-type'], made);
    using undo = new DisposableStack();
    const source = imageStore({ name, platforms: flags.platform.map(parsePlatform) });
    const destination = await registryOf(door, reference, flags, undo);
    const view = new TransferView(1);
    await transfer(door, source, destination, (progress) => view.show(progress));
    view.finish();
  },
});

/** A transfer pushes an image: a bare manifest becomes one for as long as that takes. */
async function nameManifest(
  { door }: Context,
  digest: string,
  mediaType: string,
  undo: AsyncDisposableStack,
): Promise<string> {
  const { info } = await contents(door).info({ digest });
  const name = `push-${leaseId()}:manifest`;
  await images(door).create({ image: { name, target: { mediaType, digest, size: info?.size ?? 0n } } });
  undo.defer(async () => void (await images(door).delete({ name })));
  return name;
}

export const tag = command({
  usage: '[flags] <source> <target> [<target> ...]',
  description:
    'Short names are completed. A target that is there already is replaced; with --local that is an error, unless --force\nis given too.',
  flags: {
    force: { kind: 'on', help: 'With --local: replace a target that is there' },
    local: { kind: 'on', help: 'Ask the image store instead of the transfer service, which old daemons do not have' },
    'skip-reference-check': { kind: 'on', help: 'Take the target as it is written, whatever it is' },
  },
  takes: [2, Infinity],
  examples: [['images tag alpine registry.example/alpine:3', 'a second name']],
  async run(context, { flags, rest: [word = '', ...targets] }) {
    const { name, labels, target } = await findImage(context, word);
    const api = images(context.door);
    for (const written of targets) {
      if (!flags['skip-reference-check']) parseReference(written);
      const whole = flags['skip-reference-check'] ? written : wholeName(written);
      if (!flags.local) await transfer(context.door, imageStore({ name }), imageStore({ name: whole }));
      else {
        if (flags.force) await api.delete({ name: whole }).catch(ignoreMissing);
        await api.create({ image: { name: whole, labels, ...(target === undefined ? {} : { target }) } });
      }
      print(1, `${whole}\n`);
    }
  },
});

const ignoreMissing = (error: unknown): void => {
  if (codeOf(error) !== 'not-found') throw error;
};
