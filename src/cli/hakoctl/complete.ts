import { Containerd } from '#client/containerd.ts';
import type { Flags, FlagSpec } from '../flags.ts';
import { findNode, isGroup, type Group, type Leaf } from './command.ts';
import { globalFlags } from './globals.ts';
import { tree } from './tree.ts';

type Candidate = readonly [word: string, what: string];
type Environment = Readonly<Record<string, string | undefined>>;

/** Where the words before the last one lead. */
interface Position {
  /** The first command's name: it says what kind of thing the arguments are. */
  readonly top: string | undefined;
  readonly node: Leaf | Group | undefined;
  readonly flags: Flags;
  /** The flag whose value the last word is. */
  readonly open: string | undefined;
  /** Arguments of the command that are there already. */
  readonly count: number;
  readonly globals: Readonly<Record<string, string>>;
}

/** What the last of the words may become. */
export async function candidates(words: readonly string[], environment: Environment): Promise<Candidate[]> {
  const current = words.at(-1) ?? '';
  const position = await follow(words.slice(0, -1));
  const fits = ([word]: Candidate): boolean => word.startsWith(current);
  if (position.open !== undefined) return (await valuesOf(position, environment)).filter(fits);
  if (current.startsWith('-')) return flagCandidates(position.flags).filter(fits);
  const { node, top } = position;
  if (node !== undefined && !isGroup(node)) return (await namesOf(top ?? '', position, environment)).filter(fits);
  const commands = Object.entries(node === undefined ? tree : node.commands).filter(
    ([, { hidden }]) => hidden !== true,
  );
  return commands.map(([name, { summary }]): Candidate => [name, summary]).filter(fits);
}

async function follow(words: readonly string[]): Promise<Position> {
  let position: Position = {
    top: undefined,
    node: undefined,
    flags: globalFlags,
    open: undefined,
    count: 0,
    globals: {},
  };
  for (const word of words) position = await step(position, word);
  return position;
}

async function step(position: Position, word: string): Promise<Position> {
  const { open, node, top, globals } = position;
  if (open !== undefined) return { ...position, open: undefined, globals: { ...globals, [open]: word } };
  if (word.startsWith('-') && position.count === 0) {
    const [, written = '', value] = /^--?([^=]*)(?:=([^]*))?$/.exec(word) ?? [];
    const found = Object.entries(position.flags).find(([name, { short }]) => name === written || short === written);
    if (found === undefined || found[1].kind === 'on') return position;
    return value === undefined
      ? { ...position, open: found[0] }
      : { ...position, globals: { ...globals, [found[0]]: value } };
  }
  const commands = node === undefined ? tree : isGroup(node) ? node.commands : undefined;
  if (commands === undefined) return { ...position, count: position.count + 1 };
  const found = findNode(commands, word);
  if (found === undefined) return position;
  const [name, next] = found;
  const flags = isGroup(next) ? (next.flags ?? {}) : (await next.load()).flags;
  return { ...position, top: top ?? name, node: next, flags };
}

const flagCandidates = (flags: Flags): Candidate[] =>
  Object.entries(flags)
    .filter(([, spec]: [string, FlagSpec]) => spec.hidden !== true)
    .map(([name, { help }]) => [`--${name}`, help]);

async function valuesOf({ open, ...position }: Position, environment: Environment): Promise<Candidate[]> {
  if (open === 'namespace') return namesOf('namespaces', { open, ...position }, environment);
  if (open !== 'snapshotter') return [];
  using door = doorOf(position.globals, environment);
  const { introspection } = await import('#client/containerd/introspection.ts');
  const { plugins } = await introspection(door).plugins({ filters: ['type==io.containerd.snapshotter.v1'] });
  return plugins.filter(({ initErr }) => initErr === undefined).map(({ id }): Candidate => [id, 'snapshotter']);
}

/** Pressing a key must not hang when the daemon does. */
const patience = 2000;

function doorOf(globals: Readonly<Record<string, string>>, environment: Environment): Containerd {
  const { address, namespace } = globals;
  return new Containerd({
    address: address ?? environment[globalFlags.address.variable] ?? globalFlags.address.fallback,
    namespace: namespace ?? environment[globalFlags.namespace.variable] ?? globalFlags.namespace.fallback,
    timeout: patience,
    connectTimeout: patience,
  });
}

/** The names of the things that a group of commands is about. */
async function namesOf(top: string, { globals, count }: Position, environment: Environment): Promise<Candidate[]> {
  // Behind an image come a name that is still free and a command line of the image's own.
  if (top === 'run' && count > 0) return [];
  using door = doorOf(globals, environment);
  switch (top) {
    case 'images':
    case 'run': {
      const { images } = await import('#client/containerd/images.ts');
      return (await images(door).list({})).images.map(({ name }) => [name, 'image']);
    }
    case 'containers':
    case 'tasks': {
      const { containers } = await import('#client/containerd/containers.ts');
      return (await containers(door).list({})).containers.map(({ id, image }) => [id, image]);
    }
    case 'namespaces': {
      const { namespaces } = await import('#client/containerd/namespaces.ts');
      return (await namespaces(door).list({})).namespaces.map(({ name }) => [name, 'namespace']);
    }
    case 'leases': {
      const { leases } = await import('#client/containerd/leases.ts');
      return (await leases(door).list({})).leases.map(({ id }) => [id, 'lease']);
    }
    case 'snapshots': {
      const { chooseSnapshotter, kindWord, listSnapshots } = await import('#client/containerd/snapshots.ts');
      const found = await listSnapshots(door, await chooseSnapshotter(door, globals['snapshotter']));
      return found.map((info) => [info.name, kindWord(info)]);
    }
    case 'content': {
      const { listBlobs } = await import('#client/containerd/content.ts');
      return (await listBlobs(door)).map(({ digest, size }) => [digest, `${size} bytes`]);
    }
    default:
      return [];
  }
}
