import { codeOf, invalid, messageOf } from '#base/errors.ts';
import type { ExecRequest } from '#services/engine/types.ts';
import { frame } from '#wire/docker-stream.ts';
import { Fields } from './body.ts';
import type { Exchange } from './exchange.ts';
import { detachKeys, pump, streamType } from './pump.ts';
import type { Route } from './router.ts';
import { resizeQuery } from './containers.ts';

export const execRoutes: readonly Route[] = [
  { method: 'POST', path: '/containers/{id}/exec', handler: create },
  { method: 'POST', path: '/exec/{id}/start', handler: start, hijacks: true },
  { method: 'POST', path: '/exec/{id}/resize', handler: resize },
  { method: 'GET', path: '/exec/{id}/json', handler: inspect },
];

async function create(exchange: Exchange): Promise<void> {
  const fields = new Fields(await exchange.body(), 'exec request');
  const request: ExecRequest = {
    cmd: fields.texts('Cmd'),
    env: fields.texts('Env'),
    user: fields.text('User'),
    workdir: fields.text('WorkingDir'),
    tty: fields.flag('Tty'),
    privileged: fields.flag('Privileged'),
    stdin: fields.flag('AttachStdin'),
    stdout: fields.flag('AttachStdout'),
    stderr: fields.flag('AttachStderr'),
    detachKeys: fields.text('DetachKeys'),
  };
  if (request.cmd.length === 0) throw invalid('No exec command specified');
  detachKeys(request.detachKeys);
  const { id } = await exchange.engine.execCreate(exchange.call, exchange.parameter('id'), request);
  exchange.json(201, { Id: id });
}

async function start(exchange: Exchange): Promise<void> {
  const { engine, call } = exchange;
  const id = exchange.parameter('id');
  const fields = new Fields(await exchange.body(), 'exec start request');
  const options = { detach: fields.flag('Detach'), tty: fields.flag('Tty') };
  const size = fields.pair('ConsoleSize');
  if (options.detach) {
    await engine.execStart(call, id, options);
    return exchange.empty(200);
  }
  // An unknown id can still be an HTTP error. What happens after that goes into the stream: clients expect the upgrade.
  const known = await engine.execInspect(call, id);
  await using attachment = await engine.execStart(call, id, options).catch((error: unknown) => {
    if (codeOf(error) === 'conflict' || codeOf(error) === 'not-found') throw error;
    return fail(exchange, options.tty, error);
  });
  if (attachment === undefined) return;
  if (size !== undefined && attachment.tty && size[0] > 0 && size[1] > 0) {
    await engine.execResize(call, id, { height: size[0], width: size[1] });
  }
  const connection = exchange.hijack(streamType(exchange, attachment.tty));
  const process = known['ProcessConfig'];
  const keys = typeof process === 'object' && process !== null && 'DetachKeys' in process ? process.DetachKeys : '';
  await pump(
    connection,
    attachment,
    { stdin: known['OpenStdin'] !== false, keys: detachKeys(typeof keys === 'string' ? keys : '') },
    call.signal,
  );
}

/** Docker tells why a process did not start through its standard error; its exit code then says 126 or 127. */
async function fail(exchange: Exchange, tty: boolean, error: unknown): Promise<undefined> {
  const connection = exchange.hijack(streamType(exchange, tty));
  const text = new TextEncoder().encode(`${messageOf(error)}\r\n`);
  await connection.write(tty ? text : frame('stderr', text));
  await connection.finish();
  return undefined;
}

async function resize(exchange: Exchange): Promise<void> {
  await exchange.engine.execResize(exchange.call, exchange.parameter('id'), resizeQuery(exchange.query));
  exchange.empty(200);
}

async function inspect(exchange: Exchange): Promise<void> {
  exchange.json(200, await exchange.engine.execInspect(exchange.call, exchange.parameter('id')));
}
