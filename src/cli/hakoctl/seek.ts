import { codeOf, HakoError } from '#base/errors.ts';
import { namespaces } from '#client/containerd/namespaces.ts';
import type { Containerd } from '#client/containerd.ts';
import { formatReference, normalizeReference } from '#base/reference.ts';
import type { Context } from './command.ts';

/** Something that was asked for by name, and how to ask another namespace for it. */
export interface Sought {
  /** `image`, `container`, `task` … */
  readonly kind: string;
  readonly name: string;
  /** Throws not-found where the namespace does not have it. */
  readonly look: (door: Containerd) => Promise<unknown>;
}

/**
 * Does something to a thing; where it is not there, the error says which other namespaces have it and what to type.
 */
export async function seeking<T>(context: Context, sought: Sought, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (codeOf(error) !== 'not-found') throw error;
    throw new HakoError('not-found', await explain(context, sought), error);
  }
}

async function explain(context: Context, { kind, name, look }: Sought): Promise<string> {
  const missing = `${kind} "${name}": not found in namespace "${context.door.namespace}"`;
  const others = await namespacesWith(context.door, look).catch(() => []);
  const [first] = others;
  if (first === undefined) return missing;
  const which = others.length === 1 ? `namespace "${first}" has it` : `namespaces ${quoted(others)} have it`;
  return `${missing}; ${which}: hakoctl -n ${shellWord(first)} ${context.words.map(shellWord).join(' ')}`;
}

/** The other namespaces where `look` finds something. */
async function namespacesWith(door: Containerd, look: Sought['look']): Promise<string[]> {
  const { namespaces: found } = await namespaces(door).list({});
  const others = found.map(({ name }) => name).filter((name) => name !== door.namespace);
  const has = await Promise.all(
    others.map((name) =>
      look(door.inNamespace(name)).then(
        () => true,
        () => false,
      ),
    ),
  );
  return others.filter((_, index) => has[index]);
}

const quoted = (names: readonly string[]): string => names.map((name) => `"${name}"`).join(', ');

/** A word as a shell takes it. */
const shellWord = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** The whole name that a short one means (`alpine` is `docker.io/library/alpine:latest`); as it came when it is none. */
export function wholeName(name: string): string {
  try {
    return formatReference(normalizeReference(name));
  } catch {
    return name;
  }
}

/** Tries each argument; what fails is said and does not stop the rest. The exit code is 1 when anything failed. */
export async function each(words: readonly string[], action: (word: string) => Promise<void>): Promise<number> {
  const { print } = await import('../output.ts');
  const { messageOf } = await import('#base/errors.ts');
  let code = 0;
  for (const word of words) {
    try {
      await action(word);
    } catch (error) {
      if (!(error instanceof HakoError)) throw error;
      print(2, `hakoctl: ${messageOf(error)}\n`);
      code = 1;
    }
  }
  return code;
}
