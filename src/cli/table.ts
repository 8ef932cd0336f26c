/** One column of a listing. */
export interface Column<T> {
  readonly title: string;
  readonly cell: (row: T) => string;
  /** May be cut down to this many characters where the terminal is too narrow. */
  readonly least?: number;
}

const gap = 3;
/** Docker's tables leave no column narrower than this, its gap included. */
const leastWidth = 10;

/**
 * Draws a table as Docker does: columns as wide as their longest cell and three spaces, nothing behind the last. Where
 * `width` (of a terminal) is known and too small, the widest columns that may be cut are, so that no row breaks.
 */
export function drawTable<T>(columns: readonly Column<T>[], rows: readonly T[], width?: number): string {
  const cells = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ cell }) => oneLine(cell(row)))),
  ];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => length(line[index] ?? ''))));
  if (width !== undefined) fit(columns, widths, width);
  const lines = cells.map((line) => {
    const drawn = line.map((text, index) => {
      const cut = ellipsis(text, widths[index] ?? 0);
      return index === line.length - 1
        ? cut
        : cut + ' '.repeat(Math.max(leastWidth, (widths[index] ?? 0) + gap) - length(cut));
    });
    return `${drawn.join('')}\n`;
  });
  return lines.join('');
}

function fit<T>(columns: readonly Column<T>[], widths: number[], width: number): void {
  const total = (): number =>
    widths.reduce((sum, own, index) => sum + (index === widths.length - 1 ? own : Math.max(leastWidth, own + gap)), 0);
  for (let over = total() - width; over > 0; over = total() - width) {
    let widest = -1;
    for (const [index, { least, title }] of columns.entries()) {
      const floor = Math.max(least ?? Infinity, title.length);
      if ((widths[index] ?? 0) > floor && (widest < 0 || (widths[index] ?? 0) > (widths[widest] ?? 0))) widest = index;
    }
    if (widest < 0) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}

const length = (text: string): number => [...text].length;

/** At most `width` characters, the last an ellipsis when something was cut. */
export function ellipsis(text: string, width: number): string {
  const letters = [...text];
  if (letters.length <= width) return text;
  return width <= 1 ? letters.slice(0, width).join('') : `${letters.slice(0, width - 1).join('')}…`;
}

/** What a container is called or runs must not draw on the terminal of who lists it. */
// oxlint-disable-next-line no-control-regex
const oneLine = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
