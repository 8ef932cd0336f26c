import { isatty } from 'node:tty';
import type { Progress } from '#client/containerd/transfer.ts';
import { print } from '../output.ts';
import { ellipsis } from '../table.ts';
import { binarySize } from './sizes.ts';

interface Node {
  progress: Progress;
  readonly children: Node[];
}

const barWidth = 40;
/** Faster than that nobody reads. */
const redrawEvery = 100;

/** Shows how a transfer goes on: as a tree that is redrawn on a terminal, otherwise a line for each thing that happens. */
export class TransferView {
  readonly #fd: 1 | 2;
  readonly #terminal: { readonly columns: number; readonly rows: number } | undefined;
  readonly #nodes = new Map<string, Node>();
  readonly #roots: Node[] = [];
  readonly #began = Date.now();
  #status = '';
  #drawn = 0;
  #last = 0;

  /** What `fd` is decides, unless it is said. */
  constructor(fd: 1 | 2, terminal?: { readonly columns: number; readonly rows: number } | 'lines') {
    this.#fd = fd;
    const found = isatty(fd) ? (fd === 1 ? process.stdout : process.stderr) : undefined;
    // A terminal whose size nobody set says 0 of it.
    const size = found && { columns: found.columns || 80, rows: found.rows || 24 };
    this.#terminal = terminal === 'lines' ? undefined : (terminal ?? size);
  }

  show(progress: Progress): void {
    const text = this.take(progress);
    if (text !== '') print(this.#fd, text);
  }

  /** Draws the last state, which may have come too fast to be drawn. */
  finish(): void {
    const text = this.#terminal === undefined ? this.#summary() : this.#redraw();
    if (text !== '') print(this.#fd, text);
  }

  /** What has to be written now that this has happened. */
  take(progress: Progress): string {
    const before = this.#nodes.get(progress.name)?.progress.event;
    if (progress.name === '') this.#status = progress.event;
    else this.#place(progress);
    if (this.#terminal === undefined) return progress.event === before ? '' : this.#line(progress);
    if (Date.now() - this.#last < redrawEvery) return '';
    return this.#redraw();
  }

  #place(progress: Progress): void {
    const known = this.#nodes.get(progress.name);
    if (known !== undefined) {
      known.progress = progress;
      return;
    }
    const node: Node = { progress, children: [] };
    this.#nodes.set(progress.name, node);
    const parents = progress.parents.flatMap((name) => this.#nodes.get(name) ?? []);
    if (parents.length === 0) this.#roots.push(node);
    for (const parent of parents) parent.children.push(node);
  }

  /** Where nobody watches, what is under way is not worth a line. */
  #line({ name, event }: Progress): string {
    if (name === '') return event === '' ? '' : `${event}\n`;
    return ['waiting', 'resolving', 'downloading', 'uploading', 'extracting'].includes(event)
      ? ''
      : `${shortName(name)}: ${event}\n`;
  }

  #summary(): string {
    const total = this.#total();
    return total === 0 ? '' : `${binarySize(total)} in ${((Date.now() - this.#began) / 1000).toFixed(1)} s\n`;
  }

  #total(): number {
    return [...this.#nodes.values()].reduce((sum, { progress }) => sum + Number(progress.progress), 0);
  }

  #redraw(): string {
    const size = this.#terminal;
    if (size === undefined) return '';
    this.#last = Date.now();
    const seconds = (Date.now() - this.#began) / 1000;
    const total = this.#total();
    const rate = `(${binarySize(total / Math.max(seconds, 0.001))}/s)`;
    const status = `${this.#status}  elapsed: ${seconds.toFixed(1)} s  total: ${binarySize(total)}  ${rate}`;
    const lines = [...this.#rows(this.#roots, ''), status].slice(-Math.max(1, size.rows - 1));
    const up = this.#drawn === 0 ? '' : `\u001b[${this.#drawn}A`;
    this.#drawn = lines.length;
    return `${up}${lines.map((line) => `\u001b[2K\r${line}\n`).join('')}\u001b[J`;
  }

  #rows(nodes: readonly Node[], indent: string): string[] {
    return nodes.flatMap((node, index) => {
      const root = this.#roots.includes(node);
      const isLast = index === nodes.length - 1;
      const drop = root ? '' : isLast ? '└──' : '├──';
      const below = root ? indent : `${indent}${isLast ? '   ' : '│  '}`;
      return [this.#row(node.progress, `${indent}${drop}`), ...this.#rows(node.children, below)];
    });
  }

  #row({ name, event, progress, total }: Progress, prefix: string): string {
    const columns = this.#terminal?.columns ?? 80;
    const title = ellipsis(prefix + shortName(name), 40).padEnd(40);
    const share = event === 'complete' ? 1 : total > 0n ? Math.min(1, Number(progress) / Number(total)) : 0;
    const numbers =
      total > 0n && event !== 'complete' ? `${binarySize(Number(progress))}/${binarySize(Number(total))}` : '';
    const hasBar = ['downloading', 'uploading', 'complete', 'waiting', 'resolving', 'extracting'].includes(event);
    const bar = hasBar && columns > 100 ? drawBar(share) : '';
    return ellipsis(`${title} ${event.padEnd(11)} ${numbers}`, columns - (bar === '' ? 0 : barWidth + 3)) + bar;
  }
}

function drawBar(share: number): string {
  const full = Math.round(share * barWidth);
  return ` |\u001b[32m${'+'.repeat(full)}\u001b[0m${'-'.repeat(barWidth - full)}|`;
}

/** `layer-sha256:0123…` as `layer (0123456789ab)`. */
function shortName(name: string): string {
  // What an image calls itself must not draw on our terminal.
  // oxlint-disable-next-line no-control-regex
  const plain = name.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
  if (!/^(?:index|manifest|config|layer|attestation|unknown)-/.test(plain)) return plain;
  return plain.replace(/[-@]sha256:([0-9a-f]{12})[0-9a-f]{52}$/, ' ($1)');
}
