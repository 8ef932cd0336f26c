import { defaultDetachKeys, parseDetachKeys } from '#base/detach-keys.ts';
import { HakoError } from '#base/errors.ts';
import { command, type Context } from '../../command.ts';
import { Failure, UsageFailure } from '../../failure.ts';
import type { Flags } from '../../flags.ts';
import { print } from '../../output.ts';
import { containerRequest, type ContainerRequest } from '../container-request.ts';
import { createFlags } from '../create-flags.ts';
import { consoleSize, createContainer, type Created } from '../creating.ts';
import { carry } from '../session.ts';
import { SignalProxy } from '../signals.ts';
import { checkTerminal, followSize } from '../terminal.ts';

const flags = {
  ...createFlags,
  detach: { kind: 'on', short: 'd', help: 'Run container in background and print container ID' },
  'detach-keys': { kind: 'one', help: 'Key sequence for detaching (default "ctrl-p,ctrl-q")' },
  'sig-proxy': { kind: 'on', preset: true, help: 'Proxy received signals to the process' },
  timing: { kind: 'on', help: 'Print how long each stage took' },
} as const satisfies Flags;

export const run = command({
  usage: 'run [OPTIONS] IMAGE [COMMAND] [ARG...]',
  summary: 'Create and run a new container from an image',
  flags,
  takes: [1, Infinity],
  interspersed: false,
  failureCode: 125,
  examples: [
    ['run -it --rm alpine sh', 'a shell, gone when you leave it'],
    ['run -d --name web -p 8080:80 nginx', 'a server in the background'],
    ['run --rm -v "$PWD":/src -w /src node npm test', 'a tool on the files here'],
    ['run --rm --timing alpine true', 'where the time goes'],
  ],
  async run(context, parsed) {
    const given = parsed.flags;
    const keys = parseDetachKeys(given['detach-keys'] ?? defaultDetachKeys);
    let request = containerRequest(parsed, context.environment);
    if (given.detach) {
      if (given.attach.length > 0)
        throw new UsageFailure('conflicting options: cannot specify both --attach and --detach');
      request = { ...request, AttachStdin: false, AttachStdout: false, AttachStderr: false, StdinOnce: false };
    } else {
      checkTerminal(request.AttachStdin, request.Tty);
      const host = request['HostConfig'] as object;
      request = { ...request, HostConfig: { ...host, ...consoleSize(request.Tty) } };
    }
    const created = await createContainer(context, parsed, request, given.timing);
    const attached = request.AttachStdin || request.AttachStdout || request.AttachStderr;
    const options = { keys, remove: given.rm, proxy: given['sig-proxy'], timing: given.timing };
    return attached ? foreground(context, created, request, options) : background(context, created, options.timing);
  },
});

interface RunOptions {
  readonly keys: Uint8Array;
  readonly remove: boolean;
  readonly proxy: boolean;
  readonly timing: boolean;
}

async function background({ client }: Context, created: Created, timing: boolean): Promise<number> {
  const began = performance.now();
  await client.startContainer(created.id).catch(throwStartFailure);
  if (timing) printTimes(created, performance.now() - began);
  print(1, `${created.id}\n`);
  return 0;
}

/** Attach, register the wait, start: in this order nothing the container prints or does is missed. */
async function foreground(
  context: Context,
  created: Created,
  request: ContainerRequest,
  options: RunOptions,
): Promise<number> {
  const { client } = context;
  const { id } = created;
  using proxy = options.proxy ? new SignalProxy(client, id) : undefined;
  const streams = { stdin: request.AttachStdin, stdout: request.AttachStdout, stderr: request.AttachStderr };
  const hijacked = await client.attach(id, streams);
  const { exit } = await client.wait(id, options.remove ? 'removed' : 'next-exit');
  const session = carry(hijacked, { ...streams, tty: request.Tty, keys: options.keys });
  session.catch(() => {});
  const began = performance.now();
  try {
    await client.startContainer(id);
  } catch (error) {
    // The terminal is put back before the error is printed.
    hijacked.socket.destroy();
    await session.catch(() => {});
    throwStartFailure(error);
  }
  const startMs = performance.now() - began;
  proxy?.started();
  using _size = request.Tty ? followSize((size) => client.resizeContainer(id, size)) : undefined;
  if ((await session) === 'detached') return 0;
  const result = await exit.catch((error: unknown) => {
    throw new Failure(
      125,
      `lost the daemon while waiting for container "${id.slice(0, 12)}", which may run on: ${(error as Error).message}`,
    );
  });
  if (options.timing) printTimes(created, startMs, performance.now() - began - startMs);
  if (result.Error?.Message !== undefined) throw new Failure(125, result.Error.Message);
  return result.StatusCode;
}

/** Docker's codes: 127 when the command is not there, 126 when it may not be run, 125 for everything else. */
function throwStartFailure(error: unknown): never {
  const message = error instanceof Error ? error.message : String(error);
  const missing = /executable file not found|no such file or directory/i.test(message);
  const forbidden = /permission denied|is a directory/i.test(message);
  if (!(error instanceof HakoError)) throw error;
  throw new Failure(missing ? 127 : forbidden ? 126 : 125, message);
}

function printTimes(created: Created, startMs: number, runMs?: number): void {
  const { pull, createMs } = created;
  const stages: [string, number][] = [
    ...(pull === undefined
      ? []
      : ([
          ['resolve', pull.resolve],
          ['download', pull.download],
          ['unpack', pull.unpack],
        ] as [string, number][])),
    ['create', createMs],
    ['start', startMs],
    ...(runMs === undefined ? [] : ([['run', runMs]] as [string, number][])),
  ];
  const lines = stages.map(([name, milliseconds]) => `${name.padEnd(10)}${milliseconds.toFixed(1).padStart(10)} ms\n`);
  print(2, lines.join(''));
}
