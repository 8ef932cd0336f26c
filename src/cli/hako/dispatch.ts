import { HakoError } from '#base/errors.ts';
import { nearest } from '#base/nearest.ts';
import { chooseHost } from '#client/address.ts';
import { DockerClient } from '#client/docker.ts';
import { checkCount, type Command } from '../command.ts';
import { Failure, UsageFailure } from '../failure.ts';
import { HelpAsked, parseFlags, type Flags } from '../flags.ts';
import { print } from '../output.ts';
import { groups, topLevel, type Entry } from './commands.ts';

const globalFlags = {
  host: { kind: 'one', short: 'H', help: "Daemon's address (default: HAKO_HOST, DOCKER_HOST, or the local daemon)" },
  namespace: { kind: 'one', help: 'Namespace to work in (default "default")' },
  version: { kind: 'on', short: 'v', help: 'Print version information and quit' },
  debug: { kind: 'on', short: 'D', help: 'Print where an error came from' },
} as const satisfies Flags;

interface Chosen {
  /** As written: `run`, or `container ls`. */
  readonly name: string;
  readonly command: Command;
  readonly words: readonly string[];
}

/** Finds the command, reads its flags and runs it. */
export async function dispatch(words: readonly string[], environment: NodeJS.ProcessEnv): Promise<number> {
  const global = globals(words);
  if (global === undefined) return help([]);
  if (global.flags.version) {
    const { ownVersion } = await import('../version.ts');
    print(1, `Hakobune version ${ownVersion()}\n`);
    return 0;
  }
  if (global.rest.length === 0) return help([]);
  if (global.rest[0] === 'help') return help(global.rest.slice(1));
  const chosen = await choose(global.rest);
  if (chosen === undefined) return help(global.rest.slice(0, 1));
  try {
    return await runChosen(chosen, global.flags, environment);
  } catch (error) {
    throw global.flags.debug || !(error instanceof HakoError)
      ? error
      : new Failure(chosen.command.failureCode ?? 1, error.message);
  }
}

function globals(words: readonly string[]): ReturnType<typeof parseGlobals> | undefined {
  try {
    return parseGlobals(words);
  } catch (error) {
    if (error instanceof HelpAsked) return undefined;
    throw withHelp(error, 'hako');
  }
}

const parseGlobals = (words: readonly string[]) => parseFlags(globalFlags, words, { interspersed: false });

/** Undefined when a group stands alone: that asks for its help. */
async function choose(words: readonly string[]): Promise<Chosen | undefined> {
  const [first = '', second, ...rest] = words;
  const group = Object.hasOwn(groups, first) ? groups[first] : undefined;
  if (group === undefined) {
    const entry = find(topLevel, first, [...Object.keys(topLevel), ...Object.keys(groups), 'help'], 'hako');
    return { name: first, command: await entry.load(), words: words.slice(1) };
  }
  if (second === undefined || second === '--help' || second === '-h') return undefined;
  const entry = find(group.commands, second, Object.keys(group.commands), `hako ${first}`);
  return { name: `${first} ${second}`, command: await entry.load(), words: rest };
}

function find(
  entries: Readonly<Record<string, Entry>>,
  name: string,
  known: readonly string[],
  program: string,
): Entry {
  const entry = Object.hasOwn(entries, name) ? entries[name] : undefined;
  if (entry !== undefined) return entry;
  const meant = nearest(name, known);
  throw new Failure(
    1,
    `unknown command: ${program} ${name}${meant === undefined ? '' : `; did you mean "${meant}"?`}\n\nRun '${program} --help' for more information`,
  );
}

async function runChosen(
  chosen: Chosen,
  flags: ReturnType<typeof parseGlobals>['flags'],
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  const { name, command, words } = chosen;
  let parsed;
  try {
    parsed = parseFlags(command.flags, words, { interspersed: command.interspersed ?? true });
    checkCount(`hako ${name}`, command.takes, parsed.rest.length);
  } catch (error) {
    if (!(error instanceof HelpAsked)) throw withHelp(error, `hako ${name}`);
    const { commandHelp } = await import('../help.ts');
    print(1, commandHelp('hako', command));
    return 0;
  }
  const host = chooseHost(flags.host, environment);
  const client = new DockerClient({ host, namespace: flags.namespace });
  try {
    return (await command.run({ client, environment }, parsed)) ?? 0;
  } catch (error) {
    throw withHelp(error, `hako ${name}`);
  }
}

function withHelp(error: unknown, program: string): unknown {
  if (!(error instanceof UsageFailure)) return error;
  return new Failure(error.exitCode, `${error.message}\n\nRun '${program} --help' for more information`);
}

async function help(words: readonly string[]): Promise<number> {
  const { groupHelp, programHelp } = await import('./help.ts');
  const [first] = words;
  if (first === undefined) {
    print(1, programHelp(globalFlags));
    return 0;
  }
  if (words.length === 1 && Object.hasOwn(groups, first)) {
    print(1, groupHelp(first));
    return 0;
  }
  const chosen = await choose(words);
  const { commandHelp } = await import('../help.ts');
  print(1, chosen === undefined ? groupHelp(first) : commandHelp('hako', chosen.command));
  return 0;
}
