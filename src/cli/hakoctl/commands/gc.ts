import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import { humanDuration } from '#base/units.ts';
import { garbageCollection, type Explanation, type PlanResponse } from '#client/containerd/gc.ts';
import { toDate, toMilliseconds } from '#client/containerd/times.ts';
import { print } from '../../output.ts';
import { command, type Context } from '../command.ts';
import { printJson, printTable } from '../listing.ts';
import { wholeName } from '../seek.ts';
import { binarySize } from '../sizes.ts';
import { spaced } from '../tabs.ts';

type Item = PlanResponse['items'][number];
type Resource = Exclude<Item['resource'], undefined>;

const json = { kind: 'on', help: 'Print JSON' } as const;
const quiet = { kind: 'on', short: 'q', help: 'Print only the names' } as const;

/** The collector looks at everything; one namespace is looked at only where one was named. */
const scope = ({ global }: Context): string => (global.namespaceGiven ? global.namespace : '');

async function asked<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (codeOf(error) !== 'unimplemented') throw error;
    throw new HakoError('unimplemented', 'this daemon does not explain its garbage collector: "gc" needs hakod', error);
  }
}

const shape = ({ resource, bytes }: Item): object => ({ ...resourceShape(resource), bytes });

const resourceShape = (resource: Resource | undefined): object | undefined =>
  resource && {
    type: resource.type,
    namespace: resource.namespace,
    ...(resource.snapshotter === '' ? {} : { snapshotter: resource.snapshotter }),
    name: resource.name,
  };

function showPlan(plan: PlanResponse, flags: { quiet: boolean; json: boolean }, done: boolean): void {
  const { items, bytes, nextExpiry } = plan;
  if (flags.json) return printJson({ items: items.map(shape), bytes, nextExpiry: toDate(nextExpiry) });
  if (items.length > 0) {
    printTable(
      {
        rows: items,
        titles: ['TYPE', 'NAMESPACE', 'NAME', 'SIZE', ''],
        cells: ({ resource, bytes: size }) => [
          resource?.snapshotter ? `${resource.type} (${resource.snapshotter})` : (resource?.type ?? ''),
          resource?.namespace ?? '',
          resource?.name ?? '',
          size === 0n ? '-' : binarySize(Number(size)),
          '',
        ],
        stops: spaced,
        name: ({ resource }) => resource?.name ?? '',
        json: shape,
      },
      flags,
    );
  }
  if (flags.quiet) return;
  const what = `${items.length} thing${items.length === 1 ? '' : 's'}, ${binarySize(Number(bytes))}`;
  const expiry =
    nextExpiry === undefined
      ? ''
      : `; the next thing expires in ${humanDuration(toMilliseconds(nextExpiry) - Date.now())}`;
  const nothing = done ? 'nothing was to be removed' : 'nothing would be removed';
  print(1, `${items.length === 0 ? nothing : `${done ? 'removed' : 'would remove'} ${what}`}${expiry}\n`);
}

export const plan = command({
  usage: '[flags]',
  description:
    'The exact list of what the garbage collector would remove at this moment, in all namespaces or in the one that\n-n names, and the bytes on disk that go with it.',
  flags: { quiet, json },
  takes: [0, 0],
  examples: [
    ['gc plan', 'in all namespaces'],
    ['gc plan --json | jq .bytes', 'what it would free'],
  ],
  async run(context, { flags }) {
    showPlan(await asked(garbageCollection(context.door).plan({ namespace: scope(context) })), flags, false);
  },
});

export const run = command({
  usage: '[flags]',
  description: 'Collects in all namespaces, and prints what went.',
  flags: { quiet, json },
  takes: [0, 0],
  examples: [['gc run', 'now, not on schedule']],
  async run({ door }, { flags }) {
    showPlan(await asked(garbageCollection(door).run({})), flags, true);
  },
});

export const explain = command({
  usage: '[flags] <digest|snapshot|image> [...]',
  description:
    'Shows the way from something that the collector never removes to what you ask for, or that there is none.',
  flags: { snapshotter: { kind: 'one', help: 'Of this snapshotter only' }, json },
  takes: [1, Infinity],
  examples: [
    ['gc explain alpine', 'an image'],
    ['gc explain sha256:2c40dede', 'a blob or a snapshot, by the beginning of its name'],
  ],
  async run(context, { flags, rest }) {
    const found: Explanation[] = [];
    let code = 0;
    for (const subject of rest) {
      try {
        found.push(...(await explanations(context, subject, flags.snapshotter ?? '')));
      } catch (error) {
        if (!(error instanceof HakoError) || error.code !== 'not-found') throw error;
        print(2, `hakoctl: ${messageOf(error)}\n`);
        code = 1;
      }
    }
    if (flags.json) printJson(found.map(explanationShape));
    else print(1, found.map(explanationText).join('\n'));
    return code;
  },
});

async function explanations(context: Context, subject: string, snapshotter: string): Promise<Explanation[]> {
  const ask = async (name: string): Promise<Explanation[]> => {
    const request = { subject: name, namespace: scope(context), snapshotter };
    return (await asked(garbageCollection(context.door).explain(request))).explanations;
  };
  try {
    return await ask(subject);
  } catch (error) {
    const whole = wholeName(subject);
    if (codeOf(error) !== 'not-found' || whole === subject || subject.includes('sha256:')) throw error;
    return await ask(whole).catch(() => {
      throw error;
    });
  }
}

const explanationShape = ({ subject, held, path, until }: Explanation): object => ({
  subject: resourceShape(subject),
  held,
  path: path.map(({ resource, relation }) => ({ ...resourceShape(resource), relation })),
  until: toDate(until),
});

const resourceText = (resource: Resource | undefined): string => {
  const { type = '', name = '', snapshotter = '' } = resource ?? {};
  return `${type} ${name}${snapshotter === '' ? '' : ` (${snapshotter})`}`;
};

function explanationText({ subject, held, path, until }: Explanation): string {
  const where = `in namespace "${subject?.namespace ?? ''}"`;
  if (!held) return `${resourceText(subject)} ${where}: nothing keeps it; the next collection removes it\n`;
  const lines = path.map(
    ({ resource, relation }, depth) =>
      `${'   '.repeat(depth)}${depth === 0 ? '' : '└─ '}${resourceText(resource)}  [${relation}]\n`,
  );
  const end = until === undefined ? '' : `, until ${toDate(until)}`;
  return `${resourceText(subject)} ${where}: kept${end}\n${lines.map((line) => `  ${line}`).join('')}`;
}
