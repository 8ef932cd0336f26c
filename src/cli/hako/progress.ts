import { isatty } from 'node:tty';
import { progressBar } from '#base/units.ts';
import type { ProgressMessage } from '#client/types.ts';
import { print } from '../output.ts';
import { ellipsis } from '../table.ts';

/** Draws a transfer's progress: on a terminal a row for each layer, redrawn in place; otherwise a line for each change. */
export class ProgressView {
  readonly #fd: 1 | 2;
  readonly #size: { columns: number; rows: number } | undefined;
  readonly #rows = new Map<string, number>();
  #last = '';

  /** What `fd` is decides, unless it is said: the size of a terminal, or `lines`. */
  constructor(fd: 1 | 2, size?: { columns: number; rows: number } | 'lines') {
    this.#fd = fd;
    const found = isatty(fd) ? (fd === 1 ? process.stdout : process.stderr) : undefined;
    this.#size = size === 'lines' ? undefined : (size ?? found);
  }

  show(message: ProgressMessage): void {
    const text = this.draw(message);
    if (text !== '') print(this.#fd, text);
  }

  /** What has to be written for this message. */
  draw(message: ProgressMessage): string {
    const { id, status, progressDetail } = message;
    if (status === undefined) return '';
    const line = id === undefined ? status : `${id}: ${status}`;
    const bar =
      progressDetail === undefined
        ? ''
        : progressBar(progressDetail.current ?? 0, progressDetail.total ?? 0, this.#size?.columns);
    if (this.#size === undefined) {
      // Without a terminal nobody wants to read a bar; what stands still is said once.
      if (bar !== '' || line === this.#last) return '';
      this.#last = line;
      return `${line}\n`;
    }
    if (id === undefined || progressDetail === undefined) {
      this.#rows.clear();
      return `${line}\n`;
    }
    return this.#redraw(id, bar === '' ? line : `${line} ${bar}`, this.#size);
  }

  #redraw(id: string, line: string, size: { columns: number; rows: number }): string {
    const cut = ellipsis(line, size.columns);
    const known = this.#rows.get(id);
    if (known === undefined) {
      this.#rows.set(id, this.#rows.size);
      return `${cut}\n`;
    }
    const up = this.#rows.size - known;
    // A row that has scrolled off the top cannot be reached any more.
    if (up >= size.rows) return '';
    return `\u001b[${up}A\u001b[2K\r${cut}\n${up > 1 ? `\u001b[${up - 1}B` : ''}`;
  }
}
