import { invalid } from '#base/errors.ts';
import { checkpointContainer } from '#client/containerd/checkpoints.ts';
import { command } from '../command.ts';
import { containerName, findContainer } from './container-names.ts';

export const checkpoint = command({
  usage: 'CONTAINER REF',
  flags: {
    rw: { kind: 'on', help: 'Include the rw layer in the checkpoint' },
    image: { kind: 'on', help: 'Include the image in the checkpoint' },
    task: { kind: 'on', help: 'Checkpoint container task' },
  },
  examples: [['containers checkpoint --rw --task web example.com/web:saved', 'files and memory']],
  async run(context, { flags, rest }) {
    const id = containerName(rest);
    const name = rest[1];
    if (name === undefined || name === '') throw invalid('ref must be provided');
    const container = await findContainer(context, id);
    await checkpointContainer(context.door, container, {
      name,
      image: flags.image,
      writable: flags.rw,
      task: flags.task,
    });
  },
});
