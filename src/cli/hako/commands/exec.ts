import { defaultDetachKeys, parseDetachKeys } from '#base/detach-keys.ts';
import { command } from '../../command.ts';
import { consoleSize } from '../creating.ts';
import { carry } from '../session.ts';
import { checkTerminal, followSize } from '../terminal.ts';
import { environmentOf } from '../values.ts';

export const exec = command({
  usage: 'exec [OPTIONS] CONTAINER COMMAND [ARG...]',
  summary: 'Execute a command in a running container',
  flags: {
    detach: { kind: 'on', short: 'd', help: 'Run command in the background' },
    'detach-keys': { kind: 'one', help: 'Key sequence for detaching (default "ctrl-p,ctrl-q")' },
    env: { kind: 'many', short: 'e', help: 'Set environment variables' },
    'env-file': { kind: 'many', help: 'Read in a file of environment variables' },
    interactive: { kind: 'on', short: 'i', help: 'Keep STDIN open even if not attached' },
    privileged: { kind: 'on', help: 'Give extended privileges to the command' },
    tty: { kind: 'on', short: 't', help: 'Allocate a pseudo-TTY' },
    user: { kind: 'one', short: 'u', help: 'Username or UID (NAME|UID[:GROUP|GID])' },
    workdir: { kind: 'one', short: 'w', help: 'Working directory inside the container' },
  },
  takes: [2, Infinity],
  interspersed: false,
  examples: [
    ['exec -it web sh', 'a shell beside the main process'],
    ['exec -u 0 -w /etc web cat passwd', 'as another user, in another directory'],
  ],
  async run({ client, environment }, { flags, rest }) {
    const [name = '', ...words] = rest;
    const keys = parseDetachKeys(flags['detach-keys'] ?? defaultDetachKeys);
    // A terminal that is missing is told before anything is made, a container that is missing before that.
    await client.inspectContainer(name);
    const streams = { stdin: flags.interactive && !flags.detach, stdout: !flags.detach, stderr: !flags.detach };
    checkTerminal(streams.stdin, flags.tty);
    const { Id: id } = await client.createExec(name, {
      Cmd: words,
      Env: environmentOf(flags['env-file'], flags.env, environment),
      User: flags.user ?? '',
      WorkingDir: flags.workdir ?? '',
      Tty: flags.tty,
      Privileged: flags.privileged,
      AttachStdin: streams.stdin,
      AttachStdout: streams.stdout,
      AttachStderr: streams.stderr,
      DetachKeys: flags['detach-keys'] ?? '',
    });
    if (flags.detach) return client.startDetachedExec(id);
    const hijacked = await client.startExec(id, { Tty: flags.tty, ...consoleSize(flags.tty) });
    using _size = flags.tty ? followSize((size) => client.resizeExec(id, size)) : undefined;
    if ((await carry(hijacked, { ...streams, tty: flags.tty, keys })) === 'detached') return 0;
    return (await client.inspectExec(id)).ExitCode ?? 0;
  },
});
