import { HakoError } from '#base/errors.ts';
import { command, type Context } from '../../command.ts';
import { Failure } from '../../failure.ts';
import { print } from '../../output.ts';
import type { Value } from '../../template-values.ts';

const flags = {
  format: { kind: 'one', short: 'f', help: "'json' or a Go template" },
  json: { kind: 'on', help: 'Print JSON (the default)' },
  size: { kind: 'on', short: 's', help: 'Display total file sizes if it is a container' },
  type: { kind: 'one', help: 'Only look for objects of this type: container or image' },
} as const;

const { type: _type, ...typedFlags } = flags;

type Kind = 'container' | 'image';

export const inspect = command({
  usage: 'inspect [OPTIONS] NAME|ID [NAME|ID...]',
  summary: 'Return low-level information on containers and images',
  flags,
  takes: [1, Infinity],
  examples: [
    ['inspect web', 'everything about it'],
    ["inspect -f '{{.State.Status}}' web", 'one thing about it'],
  ],
  async run(context, { flags: given, rest }) {
    if (given.type !== undefined && given.type !== 'container' && given.type !== 'image') {
      throw new Failure(1, `"${given.type}" is not a known type: must be container or image`);
    }
    return show(context, rest, given.type === undefined ? ['container', 'image'] : [given.type], given);
  },
});

const typed = (kind: Kind) =>
  command({
    usage: `${kind} inspect [OPTIONS] ${kind.toUpperCase()} [${kind.toUpperCase()}...]`,
    summary: `Display detailed information on one or more ${kind}s`,
    flags: typedFlags,
    takes: [1, Infinity],
    examples: [[`${kind} inspect ${kind === 'image' ? 'alpine' : 'web'}`, 'everything about it']],
    run: async (context, { flags: given, rest }) => show(context, rest, [kind], given),
  });

export const inspectContainer = typed('container');
export const inspectImage = typed('image');

async function show(
  context: Context,
  names: readonly string[],
  kinds: readonly Kind[],
  { format, size }: { readonly format: string | undefined; readonly size: boolean },
): Promise<number> {
  const found: unknown[] = [];
  const missing: string[] = [];
  for (const name of names) {
    const object = await find(context, name, kinds, size);
    if (object === undefined) missing.push(`no such ${kinds.length > 1 ? 'object' : kinds[0]}: ${name}`);
    else found.push(object);
  }
  if (format === undefined || format === '') print(1, `${JSON.stringify(found, null, 4)}\n`);
  else if (format === 'json') print(1, found.map((object) => `${JSON.stringify(object)}\n`).join(''));
  else {
    const { renderTemplate } = await import('../../template.ts');
    for (const object of found) print(1, `${renderTemplate(format, object as Value)}\n`);
  }
  if (missing.length > 0) throw new Failure(1, missing.join('\nhako: '));
  return 0;
}

async function find({ client }: Context, name: string, kinds: readonly Kind[], size: boolean): Promise<unknown> {
  for (const kind of kinds) {
    try {
      return await (kind === 'container' ? client.inspectContainer(name, { size }) : client.inspectImage(name));
    } catch (error) {
      if (!(error instanceof HakoError && error.code === 'not-found')) throw error;
    }
  }
  return undefined;
}
