import { humanSize } from '#base/units.ts';
import type { ImageSummary } from '#client/types.ts';
import { command } from '../../command.ts';
import { printListing, type Field } from '../../listing.ts';
import { print } from '../../output.ts';
import { ellipsis } from '../../table.ts';
import { goTime, shortId, since } from '../facts.ts';
import { filters } from '../filters.ts';
import { eachOf } from './lifecycle.ts';

const none = '<none>';

export const images = command({
  usage: 'images [OPTIONS] [REPOSITORY[:TAG]]',
  summary: 'List images',
  flags: {
    all: { kind: 'on', short: 'a', help: 'Show all images (default hides intermediate images)' },
    digests: { kind: 'on', help: 'Show digests' },
    filter: { kind: 'many', short: 'f', value: 'filter', help: 'Filter output (reference=…, label=…, dangling=…)' },
    format: { kind: 'one', help: "'table', 'table TEMPLATE', 'json' or a Go template" },
    json: { kind: 'on', help: "Print the API's objects as a JSON array" },
    'no-trunc': { kind: 'on', help: "Don't truncate output" },
    quiet: { kind: 'on', short: 'q', help: 'Only show image IDs' },
  },
  takes: [0, 1],
  examples: [
    ['images', 'all of them'],
    ['images --digests alpine', 'one repository, with digests'],
  ],
  async run({ client }, { flags, rest }) {
    const asked = filters(flags.filter);
    if (rest[0] !== undefined) (asked['reference'] ??= []).push(rest[0]);
    const found = await client.listImages({ all: flags.all, filters: asked });
    if (flags.json) return print(1, `${JSON.stringify(found, null, 2)}\n`);
    const rows = found.flatMap((image) => rowsOf(image, flags.digests));
    await printListing({
      rows: flags.quiet ? [...new Map(rows.map((row) => [row.image.Id, row])).values()] : rows,
      fields: fields(!flags['no-trunc']),
      shown: ['Repository', 'Tag', ...(flags.digests ? ['Digest'] : []), 'ID', 'CreatedSince', 'Size'],
      quiet: flags.quiet ? 'ID' : undefined,
      format: flags.format,
    });
  },
});

interface Row {
  readonly image: ImageSummary;
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
}

/** An image has a row for every tag; one without a tag has one for its repository, or for nothing. */
function rowsOf(image: ImageSummary, digests: boolean): Row[] {
  const digestOf = new Map((image.RepoDigests ?? []).map((digest) => digest.split('@', 2) as [string, string]));
  const tags = (image.RepoTags ?? []).filter((tag) => tag !== `${none}:${none}`);
  if (tags.length === 0) {
    const [repository = none, digest = none] = [...digestOf][0] ?? [];
    return [{ image, repository, tag: none, digest }];
  }
  return tags.map((name) => {
    const colon = name.lastIndexOf(':');
    const repository = name.slice(0, colon);
    return {
      image,
      repository,
      tag: name.slice(colon + 1),
      digest: digests ? (digestOf.get(repository) ?? none) : none,
    };
  });
}

const fields = (short: boolean): Record<string, Field<Row>> => ({
  Containers: { title: 'CONTAINERS', value: () => 'N/A' },
  CreatedAt: { title: 'CREATED AT', value: ({ image }) => goTime(image.Created) },
  CreatedSince: { title: 'CREATED', value: ({ image }) => age(image.Created) },
  Digest: { title: 'DIGEST', value: ({ digest }) => digest, least: 20 },
  ID: { title: 'IMAGE ID', value: ({ image }) => (short ? shortId(image.Id) : image.Id) },
  Repository: { title: 'REPOSITORY', value: ({ repository }) => repository, least: 12 },
  SharedSize: { title: 'SHARED SIZE', value: () => 'N/A' },
  Size: { title: 'SIZE', value: ({ image }) => humanSize(image.Size, 3) },
  Tag: { title: 'TAG', value: ({ tag: name }) => name, least: 8 },
  UniqueSize: { title: 'UNIQUE SIZE', value: () => 'N/A' },
});

/** Reproducible builds put their images at the beginning of time; before 2000 nobody made any. */
const age = (seconds: number): string => (seconds <= 946_684_800 ? 'N/A' : since(seconds));

export const rmi = command({
  usage: 'rmi [OPTIONS] IMAGE [IMAGE...]',
  summary: 'Remove one or more images',
  flags: {
    force: { kind: 'on', short: 'f', help: 'Force removal of the image' },
    'no-prune': { kind: 'on', help: 'Do not delete untagged parents' },
  },
  takes: [1, Infinity],
  examples: [['rmi alpine:3.19', 'remove a tag, and the image with its last one']],
  run: async ({ client }, { flags, rest }) =>
    eachOf(
      rest,
      (name) => client.removeImage(name, { force: flags.force, noprune: flags['no-prune'] }),
      (_name, done) =>
        done
          .map(({ Untagged, Deleted }) => (Untagged === undefined ? `Deleted: ${Deleted}` : `Untagged: ${Untagged}`))
          .join('\n'),
    ),
});

export const tag = command({
  usage: 'tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]',
  summary: 'Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE',
  flags: {},
  takes: [2, 2],
  examples: [['tag app 127.0.0.1:5000/app:1', 'give it the name of where it goes']],
  async run({ client }, { rest }) {
    const [source = '', target = ''] = rest;
    const colon = target.lastIndexOf(':');
    const tagged = colon > target.lastIndexOf('/');
    await client.tagImage(
      source,
      tagged ? target.slice(0, colon) : target,
      tagged ? target.slice(colon + 1) : undefined,
    );
  },
});

interface HistoryEntry {
  readonly Id?: string;
  readonly Created?: number;
  readonly CreatedBy?: string;
  readonly Size?: number;
  readonly Comment?: string;
}

export const history = command({
  usage: 'history [OPTIONS] IMAGE',
  summary: 'Show the history of an image',
  flags: {
    format: { kind: 'one', help: "'table', 'table TEMPLATE', 'json' or a Go template" },
    json: { kind: 'on', help: "Print the API's objects as a JSON array" },
    'no-trunc': { kind: 'on', help: "Don't truncate output" },
    quiet: { kind: 'on', short: 'q', help: 'Only show image IDs' },
  },
  takes: [1, 1],
  examples: [['history --no-trunc app', 'what each layer came from, in full']],
  async run({ client }, { flags, rest }) {
    const rows: HistoryEntry[] = await client.imageHistory(rest[0] ?? '');
    const short = !flags['no-trunc'];
    const by = (entry: HistoryEntry): string => (entry.CreatedBy ?? '').replaceAll('\t', ' ');
    await printListing<HistoryEntry>({
      rows,
      fields: {
        Comment: { title: 'COMMENT', value: ({ Comment = '' }) => Comment },
        CreatedAt: { title: 'CREATED AT', value: ({ Created = 0 }) => new Date(Created * 1000).toISOString() },
        CreatedBy: { title: 'CREATED BY', value: (entry) => (short ? ellipsis(by(entry), 45) : by(entry)), least: 15 },
        CreatedSince: { title: 'CREATED', value: ({ Created = 0 }) => age(Created) },
        ID: { title: 'IMAGE', value: ({ Id = '<missing>' }) => (short ? shortId(Id) : Id) },
        Size: { title: 'SIZE', value: ({ Size = 0 }) => humanSize(Size, 3) },
      },
      shown: ['ID', 'CreatedSince', 'CreatedBy', 'Size', 'Comment'],
      quiet: flags.quiet ? 'ID' : undefined,
      format: flags.format,
      json: flags.json,
    });
  },
});
