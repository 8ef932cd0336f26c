import { invalid } from '#base/errors.ts';
import type { EngineObject } from '#services/engine/types.ts';
import type { Exchange } from './exchange.ts';
import { parseFilters } from './query.ts';
import { isBefore, type Route } from './router.ts';
import { pull, push, withTag } from './transfers.ts';

export const imageRoutes: readonly Route[] = [
  { method: 'POST', path: '/images/create', handler: pull },
  { method: 'GET', path: '/images/json', handler: list },
  { method: 'GET', path: '/images/{name*}/json', handler: inspect },
  { method: 'GET', path: '/images/{name*}/history', handler: history },
  { method: 'POST', path: '/images/{name*}/push', handler: push },
  { method: 'POST', path: '/images/{name*}/tag', handler: tag },
  { method: 'DELETE', path: '/images/{name*}', handler: remove },
];

async function list(exchange: Exchange): Promise<void> {
  const { engine, call, query } = exchange;
  const filters = parseFilters(query.text('filters'));
  // Before filters there was a parameter for the one thing that people filter by.
  if (query.text('filter') !== '') filters.set('reference', [query.text('filter')]);
  const images = await engine.images(call, { all: query.flag('all'), filters });
  exchange.json(
    200,
    images.map((image) => forVersion(exchange, image)),
  );
}

async function inspect(exchange: Exchange): Promise<void> {
  const image = await exchange.engine.imageInspect(exchange.call, exchange.parameter('name'));
  exchange.json(200, forVersion(exchange, image));
}

/** API 1.44 took away `VirtualSize`, which was always the same as `Size`; older clients compute with it. */
function forVersion(exchange: Exchange, image: EngineObject): EngineObject {
  return isBefore(exchange.version, 1, 44) ? { VirtualSize: image['Size'], ...image } : image;
}

async function history(exchange: Exchange): Promise<void> {
  exchange.json(200, await exchange.engine.imageHistory(exchange.call, exchange.parameter('name')));
}

async function tag(exchange: Exchange): Promise<void> {
  const { engine, call, query } = exchange;
  if (query.text('repo') === '') throw invalid('query parameter "repo" is missing: name the new repository');
  await engine.imageTag(call, exchange.parameter('name'), withTag(query.text('repo'), query.text('tag')));
  exchange.empty(201);
}

async function remove(exchange: Exchange): Promise<void> {
  const { engine, call, query } = exchange;
  const options = { force: query.flag('force'), prune: !query.flag('noprune') };
  exchange.json(200, await engine.imageRemove(call, exchange.parameter('name'), options));
}
