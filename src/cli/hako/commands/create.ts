import { command } from '../../command.ts';
import { print } from '../../output.ts';
import { containerRequest } from '../container-request.ts';
import { createFlags } from '../create-flags.ts';
import { createContainer } from '../creating.ts';

export const create = command({
  usage: 'create [OPTIONS] IMAGE [COMMAND] [ARG...]',
  summary: 'Create a new container',
  flags: createFlags,
  takes: [1, Infinity],
  interspersed: false,
  examples: [
    ['create --name web -p 8080:80 nginx', 'make it now, start it later'],
    ['start -a web', 'start it and see what it prints'],
  ],
  async run(context, parsed) {
    const { id } = await createContainer(context, parsed, containerRequest(parsed, context.environment), false);
    print(1, `${id}\n`);
  },
});
