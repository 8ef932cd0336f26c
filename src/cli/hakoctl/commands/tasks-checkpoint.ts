import { checkpointTask } from '#client/containerd/checkpoints.ts';
import { print } from '../../output.ts';
import { command } from '../command.ts';
import { containerName, findContainer, findProcess } from './container-names.ts';

export const checkpoint = command({
  usage: '[flags] CONTAINER',
  flags: {
    exit: { kind: 'on', help: 'Stop the container after the checkpoint' },
    'image-path': { kind: 'one', help: 'Path to criu image files' },
    'work-path': { kind: 'one', help: 'Path to criu work files and logs' },
  },
  examples: [['tasks checkpoint --exit web', 'prints the name of the image']],
  async run(context, { flags, rest }) {
    const id = containerName(rest);
    const container = await findContainer(context, id);
    await findProcess(context, id);
    const name = await checkpointTask(context.door, container, {
      exit: flags.exit,
      imagePath: flags['image-path'] ?? '',
      workPath: flags['work-path'] ?? '',
    });
    if (name !== '') print(1, `${name}\n`);
  },
});
