import { invalid, messageOf } from '#base/errors.ts';
import type { ContainerRequest, WaitCondition } from '#services/engine/types.ts';
import { Fields } from './body.ts';
import type { Exchange } from './exchange.ts';
import { parseFilters, type Query } from './query.ts';
import { isBefore, type Route } from './router.ts';
import { attach, logs } from './streams.ts';

export const containerRoutes: readonly Route[] = [
  { method: 'POST', path: '/containers/create', handler: create },
  { method: 'GET', path: '/containers/json', handler: list },
  { method: 'GET', path: '/containers/{id}/json', handler: inspect },
  { method: 'GET', path: '/containers/{id}/top', handler: top },
  { method: 'GET', path: '/containers/{id}/logs', handler: logs },
  { method: 'POST', path: '/containers/{id}/start', handler: verb(({ engine, call }, id) => engine.start(call, id)) },
  { method: 'POST', path: '/containers/{id}/stop', handler: stopping('stop') },
  { method: 'POST', path: '/containers/{id}/restart', handler: stopping('restart') },
  {
    method: 'POST',
    path: '/containers/{id}/kill',
    handler: verb(({ engine, call, query }, id) => engine.kill(call, id, query.text('signal') || 'SIGKILL')),
  },
  { method: 'POST', path: '/containers/{id}/pause', handler: verb(({ engine, call }, id) => engine.pause(call, id)) },
  {
    method: 'POST',
    path: '/containers/{id}/unpause',
    handler: verb(({ engine, call }, id) => engine.unpause(call, id)),
  },
  { method: 'POST', path: '/containers/{id}/rename', handler: verb(rename) },
  { method: 'POST', path: '/containers/{id}/resize', handler: resize },
  { method: 'POST', path: '/containers/{id}/wait', handler: wait },
  { method: 'POST', path: '/containers/{id}/attach', handler: attach, hijacks: true },
  { method: 'DELETE', path: '/containers/{id}', handler: verb(remove) },
];

/** A route that does one thing and answers 204. */
function verb(act: (exchange: Exchange, id: string) => Promise<void>): (exchange: Exchange) => Promise<void> {
  return async (exchange) => {
    await act(exchange, exchange.parameter('id'));
    exchange.empty(204);
  };
}

function stopping(what: 'stop' | 'restart'): (exchange: Exchange) => Promise<void> {
  return verb(({ engine, call, query }, id) => {
    const signal = query.text('signal');
    const seconds = query.integer('t');
    return engine[what](call, id, {
      ...(signal === '' ? {} : { signal }),
      ...(seconds === undefined ? {} : { seconds }),
    });
  });
}

async function create(exchange: Exchange): Promise<void> {
  const body = await exchange.body();
  if (body === undefined) throw invalid('config cannot be empty in order to create a container');
  const fields = new Fields(body, 'container request');
  if (fields.text('Image') === '') throw invalid('container request: "Image" is empty: name an image');
  fields.object('HostConfig');
  fields.object('NetworkingConfig');
  const platform = exchange.query.text('platform');
  // The platform travels in the query; the engine gets it beside the rest.
  const request = { ...body, ...(platform === '' ? {} : { Platform: platform }) } as ContainerRequest;
  const name = exchange.query.text('name').replace(/^\//, '');
  const { id, warnings } = await exchange.engine.create(exchange.call, name, request);
  exchange.json(201, { Id: id, Warnings: warnings });
}

async function list(exchange: Exchange): Promise<void> {
  const { engine, call, query } = exchange;
  const filters = parseFilters(query.text('filters'));
  const limit = query.integer('limit') ?? 0;
  // Older clients had parameters of their own for what later became filters.
  for (const name of ['since', 'before']) if (query.text(name) !== '') filters.set(name, [query.text(name)]);
  const options = { all: query.flag('all') || limit > 0, limit: Math.max(0, limit), size: query.flag('size'), filters };
  exchange.json(200, await engine.list(call, options));
}

async function inspect(exchange: Exchange): Promise<void> {
  const options = { size: exchange.query.flag('size') };
  exchange.json(200, await exchange.engine.inspect(exchange.call, exchange.parameter('id'), options));
}

async function top(exchange: Exchange): Promise<void> {
  const { engine, call, query } = exchange;
  exchange.json(200, await engine.top(call, exchange.parameter('id'), query.text('ps_args') || '-ef'));
}

async function rename({ engine, call, query }: Exchange, id: string): Promise<void> {
  const name = query.text('name').replace(/^\//, '');
  if (name === '') throw invalid('Neither old nor new names may be empty');
  await engine.rename(call, id, name);
}

async function remove({ engine, call, query }: Exchange, id: string): Promise<void> {
  if (query.flag('link')) throw invalid('legacy links are not supported: query parameter "link" must be absent');
  await engine.remove(call, id, { force: query.flag('force'), volumes: query.flag('v') });
}

async function resize(exchange: Exchange): Promise<void> {
  await exchange.engine.resize(exchange.call, exchange.parameter('id'), resizeQuery(exchange.query));
  exchange.empty(200);
}

export function resizeQuery(query: Query): { width: number; height: number } {
  const size = { height: query.integer('h') ?? 0, width: query.integer('w') ?? 0 };
  for (const [name, value] of Object.entries(size)) {
    if (value < 0 || value > 65_535) throw invalid(`the terminal's ${name} is ${value}: must be between 0 and 65535`);
  }
  return size;
}

const conditions: readonly WaitCondition[] = ['not-running', 'next-exit', 'removed'];

/** The head of the answer goes out as soon as the wait is registered: `docker run` starts the container only then. */
async function wait(exchange: Exchange): Promise<void> {
  const asked = exchange.query.text('condition') || 'not-running';
  const condition = conditions.find((known) => known === asked);
  if (condition === undefined) throw invalid(`invalid condition: "${asked}": must be one of ${conditions.join(', ')}`);
  const { exit } = await exchange.engine.wait(exchange.call, exchange.parameter('id'), condition);
  if (isBefore(exchange.version, 1, 30)) {
    const { statusCode } = await exit;
    return exchange.json(200, { StatusCode: statusCode });
  }
  const connection = exchange.begin(200, 'application/json');
  const { statusCode, error } = await exit.catch((reason: unknown) => ({ statusCode: -1, error: messageOf(reason) }));
  const answer = { StatusCode: statusCode, ...(error === undefined ? {} : { Error: { Message: error } }) };
  await connection.write(Buffer.from(`${JSON.stringify(answer)}\n`));
  await connection.finish();
}
