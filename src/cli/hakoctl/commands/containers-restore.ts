import { invalid } from '#base/errors.ts';
import { restoreContainer } from '#client/containerd/restore.ts';
import { unpackSpec } from '#client/spec/spec-json.ts';
import { command } from '../command.ts';
import { findImage } from '../image-names.ts';
import { containerName } from './container-names.ts';
import { Interrupts } from './interrupts.ts';
import { startTask } from './start-task.ts';

export const restore = command({
  usage: 'CONTAINER REF',
  description: 'A container without a terminal goes on in the background.',
  flags: {
    rw: { kind: 'on', help: 'Restore the rw layer from the checkpoint' },
    live: { kind: 'on', help: 'Restore the runtime and memory data from the checkpoint' },
  },
  examples: [['containers restore --rw --live web2 example.com/web:saved', 'where it was']],
  async run(context, { flags, rest }) {
    const id = containerName(rest);
    const name = rest[1];
    if (name === undefined || name === '') throw invalid('ref must be provided');
    using interrupts = new Interrupts();
    const saved = await findImage(context, name);
    const container = await restoreContainer(context.door, id, saved, { writable: flags.rw });
    const terminal = unpackSpec(container.spec, id).process?.terminal === true;
    const none = { 'log-uri': undefined, 'fifo-dir': undefined, 'pid-file': undefined, 'no-pivot': false };
    return await startTask(context.door, container, {
      flags: { ...none, 'null-io': false, detach: !terminal },
      terminal,
      interrupts,
      checkpoint: flags.live ? saved : undefined,
    });
  },
});
