import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import { nearest } from '#base/nearest.ts';
import { Failure, UsageFailure } from '../failure.ts';
import { HelpAsked } from '../flags.ts';
import { print } from '../output.ts';
import { ownVersion } from '../version.ts';
import { findNode, isGroup, type Command, type Context, type GlobalValues, type Group, type Leaf } from './command.ts';
import { globalFlags } from './globals.ts';
import { duration, parseWords } from './parse.ts';
import { tree } from './tree.ts';

/** `ctr`'s exit code for a command that there is not. */
const unknownCommand = 3;

type Environment = Readonly<Record<string, string | undefined>>;

/** Where in the tree a command line leads. */
interface Place {
  /** Names, not aliases, from the top on. */
  readonly path: readonly string[];
  readonly node: Leaf | Group | undefined;
  readonly group: Context['group'];
  readonly rest: readonly string[];
}

/** Finds the command, reads its flags and runs it. */
export async function dispatch(words: readonly string[], environment: Environment): Promise<number> {
  try {
    const { flags, given, rest } = parseWords(globalFlags, words, environment);
    if (flags.version) {
      print(1, `hakoctl version ${ownVersion()}\n`);
      return 0;
    }
    const place = find(rest, environment);
    if (place.node === undefined || isGroup(place.node)) return await help(place);
    const namespaceGiven = given.has('namespace') || (environment['CONTAINERD_NAMESPACE'] ?? '') !== '';
    const global = { ...globalValues(flags), namespaceGiven };
    return await runLeaf(place, place.node, rest, global, environment);
  } catch (error) {
    if (error instanceof HelpAsked) return help({ path: [], node: undefined, group: {}, rest: [] });
    throw withHelp(error, []);
  }
}

/** Walks down the tree, reading each group's flags on the way. */
function find(words: readonly string[], environment: Environment): Place {
  let place: Place = { path: [], node: undefined, group: {}, rest: words };
  for (let asked = false; ;) {
    const commands = place.node === undefined ? tree : isGroup(place.node) ? place.node.commands : undefined;
    const [word, ...rest] = place.rest;
    if (commands === undefined) return asked ? { ...place, rest: ['--help'] } : place;
    if (word === undefined) return place;
    if (word === 'help' || word === 'h') {
      asked = true;
      place = { ...place, rest };
      continue;
    }
    const found = findNode(commands, word);
    if (found === undefined) throw unknown(place.path, word, Object.entries(commands));
    const [name, node] = found;
    place = { ...place, path: [...place.path, name], node, rest };
    if (isGroup(node)) place = withGroupFlags(place, node, environment);
  }
}

function withGroupFlags(place: Place, node: Group, environment: Environment): Place {
  try {
    const { flags, rest } = parseWords(node.flags ?? {}, place.rest, environment);
    return { ...place, group: { ...place.group, ...flags }, rest };
  } catch (error) {
    if (error instanceof HelpAsked) return { ...place, rest: [] };
    throw withHelp(error, place.path);
  }
}

function unknown(
  path: readonly string[],
  word: string,
  entries: readonly (readonly [string, Leaf | Group])[],
): Failure {
  const known = entries.flatMap(([name, { aliases }]) => [name, ...(aliases ?? [])]);
  const meant = nearest(word, known);
  const hint = meant === undefined ? '' : `; did you mean "${meant}"?`;
  return new Failure(unknownCommand, `no command "${[...path, word].join(' ')}"${hint}${helpLine(path)}`);
}

const helpLine = (path: readonly string[]): string =>
  `\n\nRun '${['hakoctl', ...path].join(' ')} --help' for more information`;

function withHelp(error: unknown, path: readonly string[]): unknown {
  if (!(error instanceof UsageFailure)) return error;
  return new Failure(error.exitCode, `${error.message}${helpLine(path)}`);
}

async function runLeaf(
  place: Place,
  leaf: Leaf,
  words: readonly string[],
  global: GlobalValues,
  environment: Environment,
): Promise<number> {
  const command = await leaf.load();
  try {
    const parsed = parseWords(command.flags, place.rest, environment);
    checkCount(command, place.path, parsed.rest.length);
    // Not at the top: help needs no HTTP/2.
    const { Containerd } = await import('#client/containerd.ts');
    using door = new Containerd(global);
    if (command.alone !== true) await door.check();
    const context: Context = { door, global, environment, group: place.group, words };
    return (await command.run(context, parsed)) ?? 0;
  } catch (thrown) {
    const error = firstOf(thrown);
    if (error instanceof HelpAsked) {
      const { leafHelp } = await import('./help.ts');
      print(1, leafHelp(place.path, leaf, command));
      return 0;
    }
    if (global.debug || !isOrdinary(error)) throw withHelp(error, place.path);
    throw new Failure(1, plainMessage(error, global));
  }
}

/** What went wrong first, where giving things back failed as well. */
const firstOf = (error: unknown): unknown => (error instanceof SuppressedError ? firstOf(error.suppressed) : error);

/** What a person can act on without a stack: our own errors, those of the system, and an end of time. */
const isOrdinary = (error: unknown): boolean =>
  error instanceof HakoError ||
  (error instanceof Error && (error as NodeJS.ErrnoException).syscall !== undefined) ||
  codeOf(error) === 'deadline-exceeded';

function plainMessage(error: unknown, { timeout }: GlobalValues): string {
  if (codeOf(error) === 'deadline-exceeded' && timeout !== undefined && !(error instanceof HakoError))
    return `the command took longer than --timeout ${timeout / 1000}s`;
  return messageOf(error);
}

function globalValues(
  flags: ReturnType<typeof parseWords<typeof globalFlags>>['flags'],
): Omit<GlobalValues, 'namespaceGiven'> {
  const some = (name: 'timeout' | 'connect-timeout'): number | undefined => {
    const milliseconds = duration(name, flags[name]);
    return milliseconds === undefined || milliseconds <= 0 ? undefined : milliseconds;
  };
  const { address, namespace, debug } = flags;
  return { address, namespace, debug, timeout: some('timeout'), connectTimeout: some('connect-timeout') };
}

function checkCount(command: Command, path: readonly string[], count: number): void {
  if (command.takes === undefined) return;
  const [least, most] = command.takes;
  if (count >= least && count <= most) return;
  const plural = (number: number): string => `${number === 0 ? 'no' : number} argument${number === 1 ? '' : 's'}`;
  const wanted =
    least === most ? plural(least) : count < least ? `at least ${plural(least)}` : `at most ${plural(most)}`;
  throw new UsageFailure(`"${path.join(' ')}" takes ${wanted}: ${command.usage}`, 1);
}

async function help({ path, node }: Place): Promise<number> {
  const { groupHelp, programHelp } = await import('./help.ts');
  print(1, node === undefined ? programHelp() : groupHelp(path, node as Group));
  return 0;
}
