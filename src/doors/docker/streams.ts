import { invalid } from '#base/errors.ts';
import type { LogOptions } from '#services/engine/types.ts';
import { frame } from '#wire/docker-stream.ts';
import type { Exchange } from './exchange.ts';
import { detachKeys, pump, streamType } from './pump.ts';

/** `POST /containers/{id}/attach`. Everything that can fail does so before the connection is taken over. */
export async function attach(exchange: Exchange): Promise<void> {
  const { query, call, engine } = exchange;
  const keys = detachKeys(query.text('detachKeys'));
  const options = {
    stdin: query.flag('stdin'),
    stdout: query.flag('stdout'),
    stderr: query.flag('stderr'),
    logs: query.flag('logs'),
    stream: query.flag('stream'),
  };
  await using attachment = await engine.attach(call, exchange.parameter('id'), options);
  const connection = exchange.hijack(streamType(exchange, attachment.tty));
  await pump(connection, attachment, { stdin: options.stdin && options.stream, keys }, call.signal);
}

/** `GET /containers/{id}/logs`. */
export async function logs(exchange: Exchange): Promise<void> {
  const { query, call, engine } = exchange;
  const options = logOptions(exchange);
  const { tty, records } = await engine.logs(call, exchange.parameter('id'), options);
  const connection = exchange.begin(200, streamType(exchange, tty));
  const timestamps = query.flag('timestamps');
  // A record may be a part of a line: only what begins one gets a time.
  const begins = { stdout: true, stderr: true };
  // Details are what log drivers add to a line; ours adds nothing, which Docker shows as a space.
  const details = query.flag('details');
  for await (const record of records) {
    const line = details && begins[record.stream] ? Buffer.concat([space, record.data]) : record.data;
    const data = timestamps && begins[record.stream] ? withTime(record.time, line) : line;
    begins[record.stream] = record.data.at(-1) === newline;
    await connection.write(tty ? data : frame(record.stream, data));
  }
  await connection.finish();
}

const newline = 0x0a;
const space = Buffer.from(' ');

function logOptions({ query }: Exchange): LogOptions {
  const stdout = query.flag('stdout');
  const stderr = query.flag('stderr');
  if (!stdout && !stderr) throw invalid('Bad parameters: you must choose at least one stream');
  const since = query.time('since');
  const until = query.time('until');
  // Docker takes everything that is no count (`all`, nothing, a negative number) as the whole log.
  const tail = /^\d{1,15}$/.test(query.text('tail')) ? Number(query.text('tail')) : undefined;
  return {
    follow: query.flag('follow'),
    stdout,
    stderr,
    ...(tail === undefined ? {} : { tail }),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
  };
}

/** Docker prints nine digits of the second always; the log keeps only those that say something. */
function withTime(stamp: string, line: Uint8Array): Uint8Array {
  const found = /^(.*?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(stamp);
  const time = found === null ? stamp : `${found[1]}.${(found[2] ?? '').padEnd(9, '0')}${found[3]}`;
  return Buffer.concat([Buffer.from(`${time} `), line]);
}
