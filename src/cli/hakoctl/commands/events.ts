import { codeOf, HakoError } from '#base/errors.ts';
import { events as eventService, plainEvent, type Envelope } from '#client/containerd/events.ts';
import { journal } from '#client/containerd/journal.ts';
import { goTime, toDate } from '#client/containerd/times.ts';
import type { Containerd } from '#client/containerd.ts';
import { UsageFailure } from '../../failure.ts';
import { print } from '../../output.ts';
import { command } from '../command.ts';
import { goJson } from '../listing.ts';

export const events = command({
  usage: '[flags] [<filter> ...]',
  description: [
    'Without --since: events of all namespaces from now on, as the daemon sends them to everyone.',
    'With --since: those that the daemon has kept, each behind its cursor; go on with the last one you have seen, and you',
    'miss none and see none twice, also over restarts of the daemon. An empty cursor is the oldest event that is kept, "now"',
    "the present moment. containerd keeps no events: --since needs Hakobune's daemon.",
  ].join('\n'),
  flags: {
    since: { kind: 'one', value: 'cursor', help: 'Events after this cursor' },
    follow: { kind: 'on', short: 'f', help: 'With --since: go on with what comes' },
    cursor: { kind: 'on', help: 'Print the cursor of the newest event, and end' },
    json: { kind: 'on', help: 'Print a line of JSON for each' },
  },
  examples: [
    [`events 'topic~="/tasks/.*"'`, 'what happens to tasks'],
    ['events --since "$(hakoctl events --cursor)" --follow', 'from now on, and none is missed'],
  ],
  async run({ door }, { flags, rest }) {
    const { since, follow, json, cursor } = flags;
    if (cursor) return printCursor(door);
    if (since === undefined) {
      if (follow) throw new UsageFailure('--follow needs --since: without it, events are followed anyway', 1);
      for await (const envelope of eventService(door).subscribe({ filters: [...rest] })) show(envelope, json);
      return;
    }
    try {
      for await (const entry of journal(door).read({ since, follow, filters: [...rest] }))
        if (entry.envelope !== undefined) show(entry.envelope, json, entry.cursor);
    } catch (error) {
      throw withoutJournal(error);
    }
  },
});

async function printCursor(door: Containerd): Promise<void> {
  const { newest } = await journal(door)
    .state({})
    .catch((error: unknown) => {
      throw withoutJournal(error);
    });
  print(1, `${newest}\n`);
}

const withoutJournal = (error: unknown): unknown =>
  codeOf(error) === 'unimplemented'
    ? new HakoError('unimplemented', 'this daemon keeps no events: --since and --cursor need hakod', error)
    : error;

function show({ timestamp, namespace, topic, event }: Envelope, json: boolean, cursor?: string): void {
  const said = plainEvent(event);
  if (said === undefined && event !== undefined)
    print(2, `hakoctl: event ${topic}: of a type that is not known here: ${event.typeUrl}\n`);
  if (json) {
    const line = {
      ...(cursor === undefined ? {} : { cursor }),
      timestamp: toDate(timestamp),
      namespace,
      topic,
      event: said,
    };
    return print(1, `${goJson(line, 0)}\n`);
  }
  const text = `${goTime(timestamp)} ${namespace} ${topic} ${said === undefined ? '' : goJson(said, 0)}`;
  print(1, cursor === undefined ? `${text}\n` : `${cursor} ${text}\n`);
}
