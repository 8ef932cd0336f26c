import { HakoError } from '#base/errors.ts';
import { command } from '../../command.ts';
import { Failure } from '../../failure.ts';
import { wholeNumber } from '../../flags.ts';
import { print } from '../../output.ts';

/**
 * Does one thing to several containers at the same time and tells about each in the order given; what fails does not keep the
 * others from it. `say` is what is printed of a success.
 */
export async function eachOf<T>(
  names: readonly string[],
  act: (name: string) => Promise<T>,
  say: (name: string, result: T) => string = (name) => name,
): Promise<number> {
  const running = names.map((name) => act(name));
  for (const promise of running) promise.catch(() => {});
  let code = 0;
  for (const [index, name] of names.entries()) {
    try {
      print(1, `${say(name, await running[index]!)}\n`);
    } catch (error) {
      if (!(error instanceof HakoError)) throw error;
      print(2, `hako: ${error.message}\n`);
      // A daemon that is not there would be told once for each.
      if (error.code === 'unavailable') throw new Failure(1);
      code = 1;
    }
  }
  return code;
}

const stopping = {
  signal: { kind: 'one', short: 's', help: 'Signal to send to the container' },
  timeout: {
    kind: 'one',
    short: 't',
    alias: 'time',
    value: 'int',
    help: 'Seconds to wait before killing the container',
  },
} as const;

export const stop = command({
  usage: 'stop [OPTIONS] CONTAINER [CONTAINER...]',
  summary: 'Stop one or more running containers',
  flags: stopping,
  takes: [1, Infinity],
  examples: [['stop -t 30 db', 'give it half a minute to end']],
  async run({ client }, { flags, rest }) {
    const query = { signal: flags.signal, t: wholeNumber('--timeout', flags.timeout) };
    return eachOf(rest, (name) => client.stopContainer(name, query));
  },
});

export const restart = command({
  usage: 'restart [OPTIONS] CONTAINER [CONTAINER...]',
  summary: 'Restart one or more containers',
  flags: stopping,
  takes: [1, Infinity],
  examples: [['restart web', 'stop it and start it again']],
  async run({ client }, { flags, rest }) {
    const query = { signal: flags.signal, t: wholeNumber('--timeout', flags.timeout) };
    return eachOf(rest, (name) => client.restartContainer(name, query));
  },
});

export const kill = command({
  usage: 'kill [OPTIONS] CONTAINER [CONTAINER...]',
  summary: 'Kill one or more running containers',
  flags: { signal: { kind: 'one', short: 's', help: 'Signal to send to the container (default "KILL")' } },
  takes: [1, Infinity],
  examples: [['kill -s HUP web', 'let it read its configuration again']],
  run: async ({ client }, { flags, rest }) =>
    eachOf(rest, (name) => client.killContainer(name, flags.signal ?? 'KILL')),
});

export const pause = command({
  usage: 'pause CONTAINER [CONTAINER...]',
  summary: 'Pause all processes within one or more containers',
  flags: {},
  takes: [1, Infinity],
  examples: [['pause web', 'freeze it where it is']],
  run: async ({ client }, { rest }) => eachOf(rest, (name) => client.pauseContainer(name)),
});

export const unpause = command({
  usage: 'unpause CONTAINER [CONTAINER...]',
  summary: 'Unpause all processes within one or more containers',
  flags: {},
  takes: [1, Infinity],
  examples: [['unpause web', 'let it go on']],
  run: async ({ client }, { rest }) => eachOf(rest, (name) => client.unpauseContainer(name)),
});

export const rm = command({
  usage: 'rm [OPTIONS] CONTAINER [CONTAINER...]',
  summary: 'Remove one or more containers',
  flags: {
    force: { kind: 'on', short: 'f', help: 'Force the removal of a running container (uses SIGKILL)' },
    volumes: { kind: 'on', short: 'v', help: 'Remove anonymous volumes associated with the container' },
  },
  takes: [1, Infinity],
  examples: [
    ['rm web', 'remove a container that has stopped'],
    ['rm -f $(hako ps -aq)', 'remove all of them, running or not'],
  ],
  async run({ client }, { flags, rest }) {
    const remove = async (name: string): Promise<void> => {
      await client.removeContainer(name, { force: flags.force, v: flags.volumes }).catch((error: unknown) => {
        // With --force, what is not there is as good as removed.
        if (!(flags.force && error instanceof HakoError && error.code === 'not-found')) throw error;
        print(2, `hako: ${error.message}\n`);
      });
    };
    return eachOf(rest, remove);
  },
});

export const wait = command({
  usage: 'wait CONTAINER [CONTAINER...]',
  summary: 'Block until one or more containers stop, then print their exit codes',
  flags: {},
  takes: [1, Infinity],
  examples: [['wait job', 'print its exit code when it has one']],
  run: async ({ client }, { rest }) =>
    eachOf(
      rest,
      async (name) => {
        const { StatusCode, Error: error } = await (await client.wait(name, 'not-running')).exit;
        if (error?.Message !== undefined) throw new HakoError('unknown', error.Message);
        return StatusCode;
      },
      (_name, code) => String(code),
    ),
});

export const rename = command({
  usage: 'rename CONTAINER NEW_NAME',
  summary: 'Rename a container',
  flags: {},
  takes: [2, 2],
  examples: [['rename web web-old', 'make room for a new one']],
  async run({ client }, { rest }) {
    await client.renameContainer(rest[0] ?? '', rest[1] ?? '');
  },
});
