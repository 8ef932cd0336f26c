import type { Call } from '#base/call.ts';
import { HakoError } from '#base/errors.ts';
import { textOf, objectOf } from './fields.ts';
import type { LogOptions, LogRecord } from './types.ts';
import type { EngineHouse } from './house.ts';
import { recordOf } from './record.ts';
import { isAlive, resolve, standingOf } from './resolve.ts';
import { isTerminal } from './start.ts';

/** The records of a container's log, over all its runs. `follow` goes on until the run ends, as Docker's does. */
export async function logs(
  house: EngineHouse,
  call: Call,
  ref: string,
  options: LogOptions,
): Promise<{ tty: boolean; records: AsyncIterable<LogRecord> }> {
  const container = resolve(house, call, ref);
  const record = recordOf(container);
  if (record !== undefined && textOf(objectOf(record.hostConfig, 'LogConfig'), 'Type') === 'none') {
    throw new HakoError('unimplemented', 'configured logging driver does not support reading');
  }
  const { log } = house.tasks.output(call, container.id);
  const follows = options.follow && isAlive(standingOf(house, call, container.id));
  const finished = follows ? house.tasks.wait(call, container.id, '') : Promise.resolve();
  finished.catch(() => {});
  const lines = recordsOf(await house.streams.follow(log, 0, Promise.resolve(), call.signal));
  const tty = isTerminal(container, record);
  return { tty, records: read(house, call, log, lines, options, follows ? finished : undefined) };
}

/** First what is there, cut to the tail; then, when asked to follow, what comes. */
async function* read(
  house: EngineHouse,
  call: Call,
  log: string,
  present: AsyncIterable<Line>,
  options: LogOptions,
  finished: Promise<unknown> | undefined,
): AsyncIterable<LogRecord> {
  let offset = 0;
  const passes = filterOf(options);
  const tail: LogRecord[] = [];
  for await (const { record, end } of present) {
    offset = end;
    if (!passes(record)) continue;
    if (options.tail === undefined) yield record;
    else if (options.tail > 0) {
      tail.push(record);
      if (tail.length > options.tail) tail.shift();
    }
  }
  yield* tail;
  if (finished === undefined) return;
  for await (const { record } of recordsOf(await house.streams.follow(log, offset, finished, call.signal))) {
    if (options.until !== undefined && new Date(record.time) > options.until) return;
    if (passes(record)) yield record;
  }
}

function filterOf({ stdout, stderr, since, until }: LogOptions): (record: LogRecord) => boolean {
  return (record) => {
    if (!(record.stream === 'stdout' ? stdout : stderr)) return false;
    if (since === undefined && until === undefined) return true;
    const time = Date.parse(record.time);
    return (since === undefined || time >= since.getTime()) && (until === undefined || time <= until.getTime());
  };
}

/** A record, and the offset in the file behind it. */
interface Line {
  readonly record: LogRecord;
  readonly end: number;
}

/** A record longer than this is not one: something else was written to the file. */
const maxLine = 1024 * 1024;

/**
 * Docker's json-file format: a JSON object a line with `log`, `stream` and `time`. A line that is not one (torn by a
 * power cut, say) is passed over; the last one counts only when it has ended.
 */
export async function* recordsOf(data: AsyncIterable<Uint8Array>): AsyncGenerator<Line> {
  let rest: Buffer = Buffer.alloc(0);
  let position = 0;
  for await (const chunk of data) {
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    let begin = 0;
    for (let end = rest.indexOf(newline, begin); end >= 0; end = rest.indexOf(newline, begin)) {
      const record = parse(rest.subarray(begin, end));
      begin = end + 1;
      if (record !== undefined) yield { record, end: position + begin };
    }
    position += begin;
    rest = rest.subarray(begin);
    if (rest.length > maxLine) {
      position += rest.length;
      rest = Buffer.alloc(0);
    }
  }
}

const newline = 0x0a;

function parse(line: Buffer): LogRecord | undefined {
  try {
    const { log, stream, time } = JSON.parse(line.toString('utf8')) as {
      log?: unknown;
      stream?: unknown;
      time?: unknown;
    };
    if (typeof log !== 'string' || typeof time !== 'string') return undefined;
    return { stream: stream === 'stderr' ? 'stderr' : 'stdout', time, data: Buffer.from(log, 'utf8') };
  } catch {
    return undefined;
  }
}
