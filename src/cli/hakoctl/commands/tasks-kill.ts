import { constants } from 'node:os';
import { invalid } from '#base/errors.ts';
import { hasCni } from '#client/cni-extension.ts';
import { tasks } from '#client/containerd/tasks.ts';
import { command } from '../command.ts';
import { containerName, findContainer, findProcess } from './container-names.ts';

const stopSignalLabel = 'io.containerd.image.config.stop-signal';

export const kill = command({
  usage: '[flags] CONTAINER',
  description: "Without --signal it is the image's stop signal, or SIGTERM.",
  flags: {
    signal: { kind: 'one', short: 's', help: 'Signal to send to the container' },
    'exec-id': { kind: 'one', help: 'Process ID to kill' },
    all: { kind: 'on', short: 'a', help: 'Send signal to all processes inside the container' },
  },
  examples: [['tasks kill -s KILL web', 'at once']],
  async run(context, { flags, rest }) {
    const { door } = context;
    const containerId = containerName(rest);
    const execId = flags['exec-id'] ?? '';
    if (flags.all && execId !== '') throw invalid('specify an exec-id or all; not both');
    const { labels, extensions } = await findContainer(context, containerId);
    const asked = flags.signal === undefined || flags.signal === '' ? undefined : flags.signal;
    const signal = signalNumber(asked ?? labels[stopSignalLabel] ?? 'SIGTERM');
    const { pid } = await findProcess(context, containerId);
    if (hasCni(extensions)) {
      const { leaveNetwork } = await import('#client/cni.ts');
      await leaveNetwork({ id: `${door.namespace}-${containerId}`, netns: `/proc/${pid}/ns/net` });
    }
    await tasks(door).kill({ containerId, execId, signal, all: flags.all });
  },
});

/** Real-time signals begin here (signal(7)); C libraries keep two for themselves. */
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** Reads `SIGTERM`, `term`, `15`, `RTMIN+3` and the like. */
export function signalNumber(text: string): number {
  if (/^\d{1,3}$/.test(text) && Number(text) > 0) return Number(text);
  const name = text.toUpperCase().replace(/^SIG/, '');
  const known = (constants.signals as Readonly<Record<string, number>>)[`SIG${name}`];
  if (known !== undefined) return known;
  const [, end, sign, count = '0'] = /^(RTMIN|RTMAX)(?:([+-])(\d{1,2}))?$/.exec(name) ?? [];
  const number = (end === 'RTMIN' ? SIGRTMIN : SIGRTMAX) + (sign === '-' ? -Number(count) : Number(count));
  if (end !== undefined && number >= SIGRTMIN && number <= SIGRTMAX) return number;
  throw invalid(`unknown signal "${text}"`);
}
