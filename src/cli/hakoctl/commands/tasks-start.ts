import { unpackSpec } from '#client/spec/spec-json.ts';
import type { Parsed } from '../../flags.ts';
import { command } from '../command.ts';
import { containerFlags, runFlags } from './container-flags.ts';
import { containerName, findContainer } from './container-names.ts';
import { Interrupts } from './interrupts.ts';
import { startTask } from './start-task.ts';

const flags = {
  'no-pivot': containerFlags['no-pivot'],
  'null-io': runFlags['null-io'],
  'log-uri': runFlags['log-uri'],
  'fifo-dir': runFlags['fifo-dir'],
  'pid-file': containerFlags['pid-file'],
  detach: { kind: 'on', short: 'd', help: 'Detach from the task after it has started execution' },
} as const;

export const start = command({
  usage: '[flags] CONTAINER',
  flags,
  examples: [['tasks start -d web', 'in the background']],
  async run(context, { flags: values, rest }: Parsed<typeof flags>) {
    using interrupts = new Interrupts();
    const container = await findContainer(context, containerName(rest));
    const { process } = unpackSpec(container.spec, container.id);
    return await startTask(context.door, container, {
      flags: values,
      terminal: process?.terminal === true,
      interrupts,
    });
  },
});
