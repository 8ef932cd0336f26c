/** How a table's columns are set: the numbers that Go's text/tabwriter takes. */
export interface TabStops {
  readonly least: number;
  readonly tab: number;
  readonly padding: number;
  readonly pad: ' ' | '\t';
}

/** The two settings that nearly all of `ctr`'s listings have. */
export const spaced: TabStops = { least: 1, tab: 8, padding: 1, pad: ' ' };
export const tabbed: TabStops = { least: 1, tab: 8, padding: 1, pad: '\t' };
/** That of `plugins list` and its like. */
export const wide: TabStops = { least: 4, tab: 8, padding: 4, pad: ' ' };

/**
 * Sets lines of tab-ended cells as Go's text/tabwriter does, byte for byte: scripts cut what `ctr` prints. A column is
 * as wide as its widest cell within a run of lines that have it; what follows a line's last tab belongs to no column.
 */
export function setTabs(lines: readonly (readonly string[])[], stops: TabStops): string {
  const out: string[] = [];
  const widths: number[] = [];
  const write = (from: number, to: number): void => {
    for (const line of lines.slice(from, to)) out.push(`${drawLine(line, widths, stops)}\n`);
  };
  const set = (from: number, to: number): void => {
    const column = widths.length;
    let done = from;
    for (let at = from; at < to; at += 1) {
      if (!hasCell(lines[at]!, column)) continue;
      write(done, at);
      done = at;
      let width = stops.least;
      for (; at < to && hasCell(lines[at]!, column); at += 1)
        width = Math.max(width, length(lines[at]![column]!) + stops.padding);
      widths.push(width);
      set(done, at);
      widths.pop();
      done = at;
    }
    write(done, to);
  };
  set(0, lines.length);
  return out.join('');
}

/** The last cell of a line ends no column. */
const hasCell = (line: readonly string[], column: number): boolean => column < line.length - 1;

const length = (text: string): number => [...text].length;

function drawLine(line: readonly string[], widths: readonly number[], stops: TabStops): string {
  return line
    .map((cell, column) => {
      const width = widths[column];
      return column < line.length - 1 && width !== undefined ? cell + padding(length(cell), width, stops) : cell;
    })
    .join('');
}

function padding(used: number, width: number, { pad, tab }: TabStops): string {
  if (pad === ' ') return ' '.repeat(width - used);
  const whole = Math.ceil(width / tab) * tab;
  return '\t'.repeat(Math.ceil((whole - used) / tab));
}
