import { codeOf } from '#base/errors.ts';
import { contents } from '#client/containerd/content.ts';
import { fromMessage, ImageGraph, isIndex, isManifest, type Descriptor } from '#client/containerd/image-graph.ts';
import { goTime } from '#client/containerd/times.ts';
import type { Containerd } from '#client/containerd.ts';
import { print } from '../../output.ts';
import { command } from '../command.ts';
import { findImage } from '../image-names.ts';
import { indentJson } from '../indent.ts';
import { byBytes, printJson } from '../listing.ts';

export const inspect = command({
  usage: '[flags] <ref>',
  flags: {
    content: { kind: 'on', help: 'Show JSON content' },
    json: { kind: 'on', help: 'Print the tree as JSON' },
  },
  takes: [1, 1],
  examples: [['images inspect --content alpine', 'with manifest and configuration']],
  async run(context, { flags, rest: [word = ''] }) {
    const image = await findImage(context, word);
    const target = fromMessage(image.target);
    const graph = new ImageGraph(context.door);
    if (flags.json) {
      const { name, labels } = image;
      return printJson({ name, labels, target: await treeOf(graph, target) });
    }
    const lines = [
      image.name,
      `${spine} Created: ${goTime(image.createdAt)}`,
      `${spine} Updated: ${goTime(image.updatedAt)}`,
    ];
    for (const [key, value] of sorted(image.labels)) lines.push(`${spine} Label ${quote(key)}: ${quote(value)}`);
    await new Drawing(context.door, graph, flags.content, lines).node(target, last, gap);
    print(1, lines.map((line) => `${line}\n`).join(''));
  },
});

const middle = '├── ';
const last = '└── ';
const spine = '│   ';
const gap = '    ';

const quote = (text: string): string => JSON.stringify(text);
const sorted = (labels: Readonly<Record<string, string>>): [string, string][] =>
  Object.entries(labels).sort(([a], [b]) => byBytes(a, b));
const line = (prefix: string, { mediaType, digest, size }: Descriptor): string =>
  `${prefix}${mediaType} @${digest} (${size} bytes)`;

/** The tree below an image's name, in the lines that `ctr` draws. */
class Drawing {
  readonly #door: Containerd;
  readonly #graph: ImageGraph;
  readonly #verbose: boolean;
  readonly #lines: string[];

  constructor(door: Containerd, graph: ImageGraph, verbose: boolean, lines: string[]) {
    this.#door = door;
    this.#graph = graph;
    this.#verbose = verbose;
    this.#lines = lines;
  }

  async node(node: Descriptor, prefix: string, below: string): Promise<void> {
    const { platform, mediaType } = node;
    this.#lines.push(line(prefix, node));
    if (platform !== undefined && platform.architecture !== '')
      this.#lines.push(`${below}${spine} Platform: ${platform.os}/${platform.architecture}`);
    try {
      await this.#graph.text(node.digest);
    } catch (error) {
      if (codeOf(error) !== 'not-found') throw error;
      this.#lines.push(`${below}${last} Content does not exist locally, skipping`);
      return;
    }
    await this.#content(node, below + spine);
    if (isManifest(mediaType)) await this.#manifest(node.digest, below);
    if (isIndex(mediaType)) await this.#index(node.digest, below);
  }

  async #manifest(digest: string, below: string): Promise<void> {
    const { config, layers } = await this.#graph.manifest(digest);
    const alone = layers.length === 0;
    this.#lines.push(line(below + (alone ? last : middle), config));
    await this.#content(config, below + (alone ? gap : spine));
    for (const [index, layer] of layers.entries())
      this.#lines.push(line(below + (index === layers.length - 1 ? last : middle), layer));
  }

  async #index(digest: string, below: string): Promise<void> {
    const { manifests } = await this.#graph.index(digest);
    for (const [index, one] of manifests.entries()) {
      const isLast = index === manifests.length - 1;
      await this.node(one, below + (isLast ? last : middle), below + (isLast ? gap : spine));
    }
  }

  /** Labels and, of a document, its text. */
  async #content({ digest, mediaType }: Descriptor, prefix: string): Promise<void> {
    if (!this.#verbose) return;
    const { info } = await contents(this.#door).info({ digest });
    const labels = sorted(info?.labels ?? {}).map(([key, value]) => `${quote(key)}: ${quote(value)}`);
    if (labels.length > 0) this.#box('Labels', labels, prefix);
    if (!mediaType.endsWith('json')) return;
    const text = indentJson((await this.#graph.text(digest)).toString(), gap.slice(1));
    this.#box('Content', text.split('\n'), prefix);
  }

  #box(title: string, rows: readonly string[], prefix: string): void {
    const bar = '─'.repeat(title === 'Labels' ? 9 : 8);
    this.#lines.push(`${prefix}┌────────${title}${bar}`, ...rows.map((row) => `${prefix}│${row}`));
    this.#lines.push(`${prefix}└───────────────────────`);
  }
}

/** The same tree as data; `missing` marks what the content store has not. */
async function treeOf(graph: ImageGraph, node: Descriptor): Promise<object> {
  try {
    const children = await graph.children(node);
    if (children.length === 0) return { ...node, ...((await graph.has(node.digest)) ? {} : { missing: true }) };
    return { ...node, children: await Promise.all(children.map((child) => treeOf(graph, child))) };
  } catch (error) {
    if (codeOf(error) !== 'not-found') throw error;
    return { ...node, missing: true };
  }
}
