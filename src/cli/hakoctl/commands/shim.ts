import { readFile } from 'node:fs/promises';
import { invalid } from '#base/errors.ts';
import { ProcessIo } from '#client/process-io.ts';
import { Shim, shimDebugSocket, type ShimPlace, type ShimState, type ShimVersion } from '#client/shim.ts';
import { parseSpec } from '#client/spec/spec-json.ts';
import { UsageFailure } from '../../failure.ts';
import { followSize, RawTerminal } from '../../hako/terminal.ts';
import { pour, print } from '../../output.ts';
import { command, type Command, type Context } from '../command.ts';
import { printJson } from '../listing.ts';
import { profiles } from './pprof.ts';

function placeOf({ group, global }: Context): ShimPlace {
  const [id, address] = [group['id'] as string | undefined, group['shim-address'] as string | undefined];
  if ((id ?? '') === '' && (address ?? '') === '')
    throw invalid('shim ID (--id) or address (--shim-address) must be specified');
  return { daemon: global.address.replace(/^unix:\/\//, ''), namespace: global.namespace, id, address };
}

const open = (context: Context): Promise<Shim> => Shim.connect(placeOf(context));

/** What a call is about: the argument, or the shim's own id. */
const idOf = ({ group }: Context, rest: readonly string[]): string =>
  rest[0] ?? (group['id'] as string | undefined) ?? '';

const version = { kind: 'one', fallback: '3', help: 'shim API version {2,3}' } as const;

function versionOf(text: string): ShimVersion {
  if (text !== '2' && text !== '3') throw new UsageFailure('api-version must be 2 or 3', 1);
  return text === '2' ? 2 : 3;
}

export const start = command({
  usage: '[ID]',
  flags: {},
  alone: true,
  examples: [['shim --id web start', 'a task that has been created']],
  async run(context, { rest }) {
    using shim = await open(context);
    await shim.start(idOf(context, rest));
  },
});

export const remove = command({
  usage: '[ID]',
  flags: {},
  alone: true,
  examples: [['shim --id web delete', 'a task that has stopped']],
  async run(context, { rest }) {
    using shim = await open(context);
    print(1, `container deleted and returned exit status ${await shim.delete(idOf(context, rest))}\n`);
  },
});

export const shutdown = command({
  usage: '',
  flags: { 'api-version': version },
  alone: true,
  examples: [['shim --id web shutdown', 'a shim that has no container any more']],
  async run(context, { flags }) {
    using shim = await open(context);
    await shim.shutdown(idOf(context, []), versionOf(flags['api-version']));
  },
});

export const state = command({
  usage: '[flags]',
  flags: { 'task-id': { kind: 'one', short: 't', help: 'task ID' }, 'api-version': version },
  alone: true,
  examples: [['shim --id web state', 'as the shim has it']],
  async run(context, { flags }) {
    using shim = await open(context);
    const task = flags['task-id'];
    const id = task === undefined || task === '' ? idOf(context, []) : task;
    printJson(stateWords(await shim.state(id, versionOf(flags['api-version']))));
  },
});

/** Under the names that Go prints, what is not set left out. */
function stateWords(found: ShimState): object {
  const { id, bundle, pid, status, stdin, stdout, stderr, terminal, exitStatus, exitedAt, execId } = found;
  const time = exitedAt === undefined ? undefined : without({ seconds: exitedAt.seconds, nanos: exitedAt.nanos });
  return without({
    ...{ id, bundle, pid, status, stdin, stdout, stderr, terminal },
    ...{ exit_status: exitStatus, exited_at: time, exec_id: execId },
  });
}

const without = (fields: object): object =>
  Object.fromEntries(
    Object.entries(fields).filter(([, value]) => ![undefined, '', 0, 0n, false].includes(value as string)),
  );

export const exec = command({
  usage: '[flags] EXEC-ID',
  flags: {
    stdin: { kind: 'one', fallback: '', help: 'Specify the path to the stdin fifo' },
    stdout: { kind: 'one', fallback: '', help: 'Specify the path to the stdout fifo' },
    stderr: { kind: 'one', fallback: '', help: 'Specify the path to the stderr fifo' },
    tty: { kind: 'on', short: 't', help: 'Enable tty support' },
    attach: { kind: 'on', short: 'a', help: 'Stay attached to the container and open the fifos' },
    env: { kind: 'many', short: 'e', help: 'Add environment vars' },
    cwd: { kind: 'one', help: 'Current working directory' },
    spec: { kind: 'one', fallback: '', help: 'Runtime spec' },
  },
  alone: true,
  examples: [['shim --id web exec --spec process.json look', "a process of the runtime spec's kind"]],
  async run(context, { flags, rest }) {
    using shim = await open(context);
    const [execId] = rest;
    if (execId === undefined || execId === '') throw invalid('exec id must be provided');
    const id = idOf(context, []);
    const { stdin, stdout, stderr, tty: terminal } = flags;
    if (flags.spec === '') throw invalid('--spec: name a file with the process to run');
    const process_ = parseSpec(await readFile(flags.spec, 'utf8'), `file "${flags.spec}"`) as object as ProcessWords;
    const env = [...(process_.env ?? []), ...flags.env];
    const words = { ...process_, env, ...(flags.cwd === undefined ? {} : { cwd: flags.cwd }) };
    using io = new ProcessIo({ stdin, stdout, stderr, terminal });
    await shim.exec({ id, execId, stdin, stdout, stderr, terminal, spec: Buffer.from(JSON.stringify(words)) });
    print(1, `exec running with pid ${await shim.start(id, execId)}\n`);
    if (!flags.attach) return;
    using _raw = terminal && process.stdin.isTTY ? new RawTerminal() : undefined;
    using _size = terminal ? followSize((size) => shim.resize(id, execId, size)) : undefined;
    io.feed(process.stdin).catch(() => {});
    await Promise.all([passOn(io, 'stdout'), passOn(io, 'stderr')]);
  },
});

interface ProcessWords {
  readonly env?: readonly string[];
}

async function passOn(io: ProcessIo, name: 'stdout' | 'stderr'): Promise<void> {
  for await (const chunk of (io.read(name) ?? []) as AsyncIterable<Uint8Array>)
    await pour(name === 'stdout' ? 1 : 2, chunk);
}

/** Go's profiles of a shim of containerd's that was started to be debugged. */
export const shimProfiles: Readonly<Record<string, Command>> = Object.fromEntries(
  Object.entries(profiles).map(([name, profile]) => [
    name,
    {
      ...profile,
      run: (context: Context, parsed: Parameters<Command['run']>[1]) =>
        profile.run(
          { ...context, group: { ...context.group, 'debug-socket': shimDebugSocket(placeOf(context)) } },
          parsed,
        ),
    },
  ]),
);
