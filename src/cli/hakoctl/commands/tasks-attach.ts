import { stat } from 'node:fs/promises';
import { HakoError } from '#base/errors.ts';
import { removeTask } from '#client/containerd/removing.ts';
import { ProcessIo } from '#client/process-io.ts';
import { command } from '../command.ts';
import { containerName, findContainer, findProcess } from './container-names.ts';
import { foreground, ignoreMissing } from './foreground.ts';
import { Interrupts } from './interrupts.ts';

export const attach = command({
  usage: 'CONTAINER',
  description: 'When the task ends while we are attached, it is deleted.',
  flags: {},
  examples: [['tasks attach web', 'to what was started with -d']],
  async run(context, { rest }) {
    const { door } = context;
    const containerId = containerName(rest);
    using interrupts = new Interrupts();
    await findContainer(context, containerId);
    const { io: paths } = await findProcess(context, containerId);
    const found = await stat(paths.stdout).catch(() => undefined);
    if (found?.isFIFO() !== true)
      throw new HakoError(
        'failed-precondition',
        `task "${containerId}": it has no streams to attach to: ${paths.stdout === '' ? 'it was started without' : paths.stdout}`,
      );
    using io = new ProcessIo(paths);
    const code = await foreground(door, { containerId, execId: '', io, interrupts });
    await removeTask(door, containerId, paths).catch(ignoreMissing);
    return code;
  },
});
