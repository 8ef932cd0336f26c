import { createContainer } from '#client/containerd/new-container.ts';
import { command } from '../command.ts';
import { createFlags } from './container-flags.ts';
import { containerRequest, type CreateParsed } from './container-request.ts';

export const create = command({
  usage: '[flags] Image|RootFS CONTAINER [COMMAND] [ARG...]',
  description: 'An image must be there already: hakoctl images pull fetches it.',
  flags: createFlags,
  examples: [['containers create alpine one sleep 60', 'and then: hakoctl tasks start one']],
  async run(context, parsed: CreateParsed) {
    await createContainer(context.door, await containerRequest(context, parsed));
  },
});
