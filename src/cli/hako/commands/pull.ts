import { familiar, formatReference, normalizeReference } from '#base/reference.ts';
import { command } from '../../command.ts';
import { print } from '../../output.ts';
import { registryAuth } from '../credentials.ts';
import { ProgressView } from '../progress.ts';
import { pullImage } from '../pulling.ts';

export const pull = command({
  usage: 'pull [OPTIONS] NAME[:TAG|@DIGEST]',
  summary: 'Download an image from a registry',
  flags: {
    platform: { kind: 'one', help: 'Platform of the image, such as linux/arm64' },
    quiet: { kind: 'on', short: 'q', help: 'Suppress verbose output' },
    timing: { kind: 'on', help: 'Print how long each stage took' },
  },
  takes: [1, 1],
  examples: [
    ['pull alpine', 'the newest of it'],
    ['pull 127.0.0.1:5000/app:1', 'from a registry of your own'],
  ],
  async run(context, { flags, rest }) {
    const image = rest[0] ?? '';
    if (!flags.quiet && !/[:@][^/]*$/.test(image)) print(1, 'Using default tag: latest\n');
    const view = flags.quiet ? undefined : new ProgressView(1);
    const { name, times } = await pullImage(context, { image, platform: flags.platform, view, timing: flags.timing });
    print(1, `${name}\n`);
    if (times === undefined) return;
    const { resolve, download, unpack } = times;
    for (const [stage, ms] of Object.entries({ resolve, download, unpack }))
      print(2, `${stage.padEnd(10)}${ms.toFixed(1).padStart(10)} ms\n`);
  },
});

export const push = command({
  usage: 'push [OPTIONS] NAME[:TAG]',
  summary: 'Upload an image to a registry',
  flags: { quiet: { kind: 'on', short: 'q', help: 'Suppress verbose output' } },
  takes: [1, 1],
  examples: [['push 127.0.0.1:5000/app:1', 'to a registry of your own']],
  async run({ client, environment }, { flags, rest }) {
    const image = rest[0] ?? '';
    const reference = normalizeReference(image);
    const { tag, digest: _digest, ...name } = reference;
    if (!flags.quiet && !/[:@][^/]*$/.test(image)) print(1, 'Using default tag: latest\n');
    const view = flags.quiet ? undefined : new ProgressView(1);
    for await (const message of client.pushImage(familiar(name), tag, registryAuth(image, environment)))
      view?.show(message);
    if (flags.quiet) print(1, `${formatReference(reference)}\n`);
  },
});
