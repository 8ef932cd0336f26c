import { parseDigest } from '#base/digest.ts';
import { codeOf, HakoError } from '#base/errors.ts';
import { contents } from '#client/containerd/content.ts';
import { fetchObject, registryObjects, type ObjectAccess } from '#client/containerd/registry-objects.ts';
import type { Containerd } from '#client/containerd.ts';
import { UsageFailure } from '../../failure.ts';
import { pour, print } from '../../output.ts';
import { command } from '../command.ts';
import { credentialsOf, hostsDirectory, registryFlags } from '../registry-flags.ts';
import { seeking, wholeName } from '../seek.ts';

type RegistryValues = Parameters<typeof credentialsOf>[0];

const description =
  "The daemon asks the registry, with the hosts and logins that it knows. containerd has no such service: only Hakobune's daemon can.";

async function accessOf(reference: string, flags: RegistryValues, undo: DisposableStack): Promise<ObjectAccess> {
  const { username = '', secret = '' } = (await credentialsOf(flags)) ?? {};
  const { 'skip-verify': skipVerify, 'plain-http': plainHttp } = flags;
  const hostsDir = hostsDirectory(reference, flags, undo) ?? '';
  return { username, secret, hostsDir, plainHttp, skipVerify };
}

const asked = (error: unknown): never => {
  if (codeOf(error) !== 'unimplemented') throw error;
  throw new HakoError('unimplemented', 'this daemon gives no single objects of registries: that needs hakod', error);
};

async function show(
  door: Containerd,
  reference: string,
  objects: readonly { digest: string; mediaType: string }[],
  flags: RegistryValues,
): Promise<void> {
  using undo = new DisposableStack();
  const access = await accessOf(reference, flags, undo);
  try {
    for (const object of objects)
      for await (const piece of fetchObject(door, { reference, ...object, access })) await pour(1, piece);
  } catch (error) {
    asked(error);
  }
}

export const fetchRemote = command({
  usage: '[flags] <remote> [<hint> ...]',
  description: `Prints the manifest or index that the reference points at. ${description}`,
  flags: registryFlags,
  takes: [1, Infinity],
  examples: [['content fetch-object alpine | jq .', "an image's index as the registry has it now"]],
  async run({ door }, { flags, rest: [remote = ''] }) {
    await show(door, wholeName(remote), [{ digest: '', mediaType: '' }], flags);
  },
});

export const fetchBlob = command({
  usage: '[flags] <remote> <digest> [<digest> ...]',
  description: `Prints blobs of the remote's repository, one after the other. ${description}`,
  flags: {
    ...registryFlags,
    'media-type': { kind: 'one', fallback: '', help: "What the object is: a manifest's type asks for a manifest" },
  },
  examples: [['content fetch-blob alpine sha256:… | tar tz', 'what is in a layer, without pulling it']],
  async run({ door }, { flags, rest: [remote = '', ...digests] }) {
    if (remote === '' || digests.length === 0) throw new UsageFailure('must specify a remote and digests', 1);
    for (const digest of digests) parseDigest(digest);
    const mediaType = flags['media-type'];
    await show(
      door,
      wholeName(remote),
      digests.map((digest) => ({ digest, mediaType })),
      flags,
    );
  },
});

export const pushObject = command({
  usage: '[flags] <remote> <digest> <type>',
  description: `Sends a blob or manifest of the content store; a manifest gets the remote's tag. ${description}`,
  flags: registryFlags,
  takes: [3, 3],
  examples: [
    ['content push-object registry.example/app:1 sha256:… application/vnd.oci.image.manifest.v1+json', 'a manifest'],
  ],
  async run(context, { flags, rest: [remote = '', digest = '', mediaType = ''] }) {
    parseDigest(digest);
    using undo = new DisposableStack();
    const reference = wholeName(remote);
    const access = await accessOf(reference, flags, undo);
    const { door } = context;
    const sought = { kind: 'blob', name: digest, look: (one: Containerd) => contents(one).info({ digest }) };
    await seeking(context, sought, () => contents(door).info({ digest }));
    await registryObjects(door).push({ reference, digest, mediaType, access }).catch(asked);
    print(1, `Pushed ${digest} ${mediaType}\n`);
  },
});
