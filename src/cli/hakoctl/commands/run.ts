import { writeFile } from 'node:fs/promises';
import { createContainer } from '#client/containerd/new-container.ts';
import { removeContainer } from '#client/containerd/removing.ts';
import { invalid } from '#base/errors.ts';
import { unpackSpec } from '#client/spec/spec-json.ts';
import { command } from '../command.ts';
import { goJson } from '../listing.ts';
import { allRunFlags } from './container-flags.ts';
import { containerRequest, operandsOf, type RunParsed } from './container-request.ts';
import { ignoreMissing } from './foreground.ts';
import { Interrupts } from './interrupts.ts';
import { startTask } from './start-task.ts';

export const run = command({
  usage: '[flags] Image|RootFS ID [COMMAND] [ARG...]',
  description: 'An image must be there already: hakoctl images pull fetches it.',
  flags: allRunFlags,
  examples: [
    ['run --rm -t alpine shell sh', 'a shell that leaves nothing behind'],
    ['run -d --null-io nginx web', 'in the background'],
  ],
  async run(context, parsed: RunParsed) {
    const { door } = context;
    const { flags, given } = parsed;
    operandsOf(parsed);
    if (flags.rm && flags.detach) throw invalid('flags --detach and --rm cannot be specified together');
    if (given.has('dump-config') && flags['dump-config'] === '') throw invalid('--dump-config: name a file');
    await using undo = new AsyncDisposableStack();
    const interrupts = undo.use(new Interrupts());
    const container = await createContainer(door, await containerRequest(context, parsed));
    if (flags.rm) undo.defer(() => removeContainer(door, container).catch(ignoreMissing));
    if (flags['dump-config'] !== undefined)
      await writeFile(flags['dump-config'], goJson(unpackSpec(container.spec, container.id), 2));
    return await startTask(door, container, {
      ...parsed,
      interrupts,
      terminal: flags.tty,
      network: flags.cni,
    });
  },
});
