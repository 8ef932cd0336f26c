import { parseDigest } from '#base/digest.ts';
import { humanDuration, humanSize } from '#base/units.ts';
import { contents, listBlobs, readBlob, type BlobInfo } from '#client/containerd/content.ts';
import { toDate, toMilliseconds } from '#client/containerd/times.ts';
import type { Containerd } from '#client/containerd.ts';
import { pour, print } from '../../output.ts';
import { command, type Context } from '../command.ts';
import { labelText, printTable } from '../listing.ts';
import { pairs } from '../parse.ts';
import { each, seeking } from '../seek.ts';
import { tabbed } from '../tabs.ts';

const age = (timestamp: Parameters<typeof toMilliseconds>[0]): string =>
  humanDuration(Date.now() - toMilliseconds(timestamp));

export const list = command({
  usage: '[flags] [<filter> ...]',
  flags: {
    quiet: { kind: 'on', short: 'q', help: 'Print only the blob digest' },
    json: { kind: 'on', help: 'Print JSON' },
  },
  examples: [['content list \'labels."containerd.io/gc.root"\'', 'blobs that a label holds']],
  async run({ door }, { flags, rest }) {
    printTable(
      {
        rows: await listBlobs(door, rest),
        titles: ['DIGEST', 'SIZE', 'AGE', 'LABELS'],
        cells: ({ digest, size, createdAt, labels }) => [
          digest,
          humanSize(Number(size)),
          age(createdAt),
          labelText(labels),
        ],
        stops: tabbed,
        name: ({ digest }) => digest,
        json: ({ digest, size, createdAt, updatedAt, labels }) => ({
          digest,
          size,
          createdAt: toDate(createdAt),
          updatedAt: toDate(updatedAt),
          labels,
        }),
      },
      flags,
    );
  },
});

export const active = command({
  usage: '[flags] [<regexp>]',
  flags: {
    timeout: {
      kind: 'one',
      short: 't',
      variable: 'CONTAINERD_FETCH_TIMEOUT',
      hidden: true,
      help: 'Without effect, as in ctr',
    },
    root: { kind: 'one', hidden: true, help: 'Without effect, as in ctr' },
    json: { kind: 'on', help: 'Print JSON' },
  },
  examples: [["content active 'ref~=layer-.*'", 'uploads of layers']],
  async run({ door }, { flags, rest }) {
    const [filter] = rest;
    const { statuses } = await contents(door).listStatuses({ filters: filter === undefined ? [] : [filter] });
    printTable(
      {
        rows: statuses,
        titles: ['REF', 'SIZE', 'AGE', ''],
        cells: ({ ref, offset, startedAt }) => [ref, humanSize(Number(offset)), age(startedAt), ''],
        stops: tabbed,
        name: ({ ref }) => ref,
        json: ({ ref, offset, total, expected, startedAt, updatedAt }) => ({
          ref,
          offset,
          total,
          expected,
          startedAt: toDate(startedAt),
          updatedAt: toDate(updatedAt),
        }),
      },
      { json: flags.json },
    );
  },
});

const blob = (digest: string): Parameters<typeof seeking>[1] => ({
  kind: 'blob',
  name: digest,
  look: (door: Containerd) => contents(door).info({ digest }),
});

export const get = command({
  usage: '<digest>',
  flags: {},
  takes: [1, 1],
  examples: [['content get sha256:… | jq .', 'read a manifest']],
  async run(context, { rest: [digest = ''] }) {
    parseDigest(digest);
    await seeking(context, blob(digest), async () => {
      // First, so that what is not there is said before anything is written.
      await contents(context.door).info({ digest });
      for await (const piece of readBlob(context.door, digest)) await pour(1, piece);
    });
  },
});

export const remove = command({
  usage: '<digest> [<digest> ...]',
  description: 'What was deleted is printed. A blob that is not there is an error.',
  flags: {},
  takes: [1, Infinity],
  examples: [['content delete sha256:…', 'whatever refers to it']],
  async run(context, { rest }) {
    return each(rest, async (digest) => {
      parseDigest(digest);
      await seeking(context, blob(digest), () => contents(context.door).delete({ digest }));
      print(1, `${digest}\n`);
    });
  },
});

export const label = command({
  usage: '<digest> [<label>=<value> ...]',
  description: 'An empty value clears the label. Prints the labels that the blob has then.',
  flags: {},
  takes: [1, Infinity],
  examples: [['content label sha256:… containerd.io/gc.root=kept', 'keep a blob']],
  async run(context, { rest: [digest = '', ...words] }) {
    parseDigest(digest);
    const info = await seeking(context, blob(digest), () => setLabels(context, digest, pairs(words)));
    print(1, `${labelText(info?.labels ?? {}, '')}\n`);
  },
});

async function setLabels(
  { door }: Context,
  digest: string,
  labels: Readonly<Record<string, string>>,
): Promise<BlobInfo | undefined> {
  const paths = Object.keys(labels).map((key) => `labels.${key}`);
  if (paths.length === 0) return (await contents(door).info({ digest })).info;
  const kept = Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== ''));
  return (await contents(door).update({ info: { digest, labels: kept }, updateMask: { paths } })).info;
}
