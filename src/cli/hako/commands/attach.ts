import { defaultDetachKeys, parseDetachKeys } from '#base/detach-keys.ts';
import { command } from '../../command.ts';
import { Failure } from '../../failure.ts';
import { carry } from '../session.ts';
import { SignalProxy } from '../signals.ts';
import { checkTerminal, followSize, terminalSize } from '../terminal.ts';

export const attach = command({
  usage: 'attach [OPTIONS] CONTAINER',
  summary: 'Attach local standard input, output, and error streams to a running container',
  flags: {
    'no-stdin': { kind: 'on', help: 'Do not attach STDIN' },
    'sig-proxy': { kind: 'on', preset: true, help: 'Proxy all received signals to the process' },
    'detach-keys': { kind: 'one', help: 'Key sequence for detaching (default "ctrl-p,ctrl-q")' },
  },
  takes: [1, 1],
  examples: [
    ['attach web', 'see what it prints; ctrl-c stops it'],
    ['attach --sig-proxy=false web', 'ctrl-c ends only the looking'],
  ],
  async run({ client }, { flags, rest }) {
    const keys = parseDetachKeys(flags['detach-keys'] ?? defaultDetachKeys);
    const { Id: id, State, Config } = await client.inspectContainer(rest[0] ?? '');
    if (!State.Running) throw new Failure(1, 'cannot attach to a stopped container, start it first');
    if (State.Paused) throw new Failure(1, 'cannot attach to a paused container, unpause it first');
    if (State.Restarting) throw new Failure(1, 'cannot attach to a restarting container, wait until it is running');
    const streams = { stdin: !flags['no-stdin'] && Config.OpenStdin, stdout: true, stderr: true };
    checkTerminal(streams.stdin, Config.Tty);
    const { exit } = await client.wait(id, 'not-running');
    using proxy = flags['sig-proxy'] && !Config.Tty ? new SignalProxy(client, id) : undefined;
    proxy?.started();
    const hijacked = await client.attach(id, streams);
    const size = terminalSize();
    // A program redraws its screen when the size changes; one that sits still would leave the newcomer with nothing.
    if (Config.Tty && size !== undefined)
      await client.resizeContainer(id, { w: size.w + 1, h: size.h + 1 }).catch(() => {});
    using _size = Config.Tty ? followSize((now) => client.resizeContainer(id, now)) : undefined;
    if ((await carry(hijacked, { ...streams, tty: Config.Tty, keys })) === 'detached') return 0;
    const result = await exit;
    if (result.Error?.Message !== undefined) throw new Failure(1, result.Error.Message);
    return result.StatusCode;
  },
});
