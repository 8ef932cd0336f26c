import { defaultDetachKeys, parseDetachKeys } from '#base/detach-keys.ts';
import { command, type Context } from '../../command.ts';
import { UsageFailure } from '../../failure.ts';
import { carry } from '../session.ts';
import { SignalProxy } from '../signals.ts';
import { checkTerminal, followSize } from '../terminal.ts';
import { eachOf } from './lifecycle.ts';

export const start = command({
  usage: 'start [OPTIONS] CONTAINER [CONTAINER...]',
  summary: 'Start one or more stopped containers',
  flags: {
    attach: { kind: 'on', short: 'a', help: 'Attach STDOUT/STDERR and forward signals' },
    interactive: { kind: 'on', short: 'i', help: "Attach container's STDIN" },
    'detach-keys': { kind: 'one', help: 'Key sequence for detaching (default "ctrl-p,ctrl-q")' },
  },
  takes: [1, Infinity],
  examples: [
    ['start web db', 'start two containers'],
    ['start -ai shell', 'start one and use its terminal'],
  ],
  async run(context, { flags, rest }) {
    if (!flags.attach && !flags.interactive) return eachOf(rest, (name) => context.client.startContainer(name));
    if (rest.length > 1) throw new UsageFailure('you cannot start and attach multiple containers at once', 1);
    const keys = parseDetachKeys(flags['detach-keys'] ?? defaultDetachKeys);
    return startAttached(context, rest[0] ?? '', flags.interactive, keys);
  },
});

async function startAttached(
  { client }: Context,
  name: string,
  interactive: boolean,
  keys: Uint8Array,
): Promise<number> {
  const { Id: id, Config, HostConfig, State } = await client.inspectContainer(name);
  const streams = { stdin: interactive && Config.OpenStdin, stdout: true, stderr: true };
  checkTerminal(streams.stdin, Config.Tty);
  using proxy = Config.Tty ? undefined : new SignalProxy(client, id);
  const hijacked = await client.attach(id, streams);
  const condition = HostConfig.AutoRemove === true ? 'removed' : State.Running ? 'not-running' : 'next-exit';
  const { exit } = await client.wait(id, condition);
  const session = carry(hijacked, { ...streams, tty: Config.Tty, keys });
  session.catch(() => {});
  try {
    await client.startContainer(id);
  } catch (error) {
    hijacked.socket.destroy();
    await session.catch(() => {});
    throw error;
  }
  proxy?.started();
  using _size = Config.Tty ? followSize((size) => client.resizeContainer(id, size)) : undefined;
  if ((await session) === 'detached') return 0;
  return (await exit).StatusCode;
}
