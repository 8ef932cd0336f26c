import { command } from '../../command.ts';
import { Failure } from '../../failure.ts';
import { pour } from '../../output.ts';
import { moment } from '../moment.ts';

export const logs = command({
  usage: 'logs [OPTIONS] CONTAINER',
  summary: 'Fetch the logs of a container',
  flags: {
    follow: { kind: 'on', short: 'f', help: 'Follow log output' },
    since: { kind: 'one', help: 'Show logs since a time (2026-01-02T13:23:37Z) or a span ago (42m)' },
    tail: { kind: 'one', short: 'n', help: 'Number of lines to show from the end (default "all")' },
    timestamps: { kind: 'on', short: 't', help: 'Show timestamps' },
    until: { kind: 'one', help: 'Show logs before a time (2026-01-02T13:23:37Z) or a span ago (42m)' },
  },
  takes: [1, 1],
  examples: [
    ['logs -f --tail 20 web', 'the last lines, and what comes'],
    ['logs --since 1h -t web', 'one hour of it, with times'],
  ],
  async run({ client }, { flags, rest }) {
    const { Id, Config } = await client.inspectContainer(rest[0] ?? '');
    const query = {
      follow: flags.follow,
      timestamps: flags.timestamps,
      tail: flags.tail,
      since: moment('--since', flags.since),
      until: moment('--until', flags.until),
    };
    for await (const { stream, data } of client.logs(Id, query, Config.Tty)) {
      await pour(stream === 'stdout' ? 1 : 2, data).catch((error: NodeJS.ErrnoException) => {
        throw error.code === 'EPIPE' ? new Failure(141) : error;
      });
    }
  },
});
