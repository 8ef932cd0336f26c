import { command } from '../command.ts';
import { platformsOf } from '../platform-flags.ts';
import { pullFlags, pullInto } from './images-pull.ts';

export const fetch = command({
  usage: '[flags] <remote>',
  description: 'As "images pull", and unpacks nothing. Short names are completed.',
  flags: {
    ...pullFlags,
    'metadata-only': { kind: 'on', hidden: true, help: 'Not possible through the daemon' },
  },
  takes: [1, 1],
  examples: [['content fetch --all-platforms alpine', 'an image for every platform']],
  async run(context, { flags, rest: [ref = ''] }) {
    const platforms = platformsOf(flags.platform, flags['all-platforms']);
    if (flags['metadata-only']) {
      const { HakoError } = await import('#base/errors.ts');
      const instead = 'read single documents with "content fetch-object"';
      throw new HakoError('unimplemented', `--metadata-only: a transfer fetches what an image needs; ${instead}`);
    }
    await pullInto(context, ref, flags, { platforms, unpacks: [] });
  },
});
