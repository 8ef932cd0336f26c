import { parseFilters } from './query.ts';
import type { Exchange } from './exchange.ts';
import type { Route } from './router.ts';

export const systemRoutes: readonly Route[] = [
  { method: 'GET', path: '/_ping', handler: ping },
  { method: 'HEAD', path: '/_ping', handler: ping },
  { method: 'GET', path: '/version', handler: version },
  { method: 'GET', path: '/info', handler: info },
  { method: 'GET', path: '/events', handler: events },
];

/** Clients read what we speak and which builder we have from the head of this answer. */
async function ping(exchange: Exchange): Promise<void> {
  exchange.setHeader('Cache-Control', 'no-cache, no-store, must-revalidate');
  exchange.setHeader('Pragma', 'no-cache');
  exchange.setHeader('Builder-Version', '2');
  exchange.setHeader('Docker-Experimental', 'false');
  exchange.setHeader('Swarm', 'inactive');
  exchange.text(200, 'text/plain; charset=utf-8', 'OK');
}

async function version(exchange: Exchange): Promise<void> {
  exchange.json(200, exchange.engine.version());
}

async function info(exchange: Exchange): Promise<void> {
  exchange.json(200, await exchange.engine.info(exchange.call));
}

/**
 * Events from now on, a line each. There is no journal yet, so `since` brings nothing back; `until` ends the answer.
 */
async function events(exchange: Exchange): Promise<void> {
  const { engine, call, query } = exchange;
  const filters = parseFilters(query.text('filters'));
  query.time('since');
  const until = query.time('until');
  const over = until === undefined ? undefined : endsAt(until);
  const signal = over === undefined ? call.signal : AbortSignal.any([call.signal, over]);
  const found = engine.events({ ...call, signal }, filters);
  const connection = exchange.begin(200, 'application/json');
  try {
    for await (const event of found) {
      // A listener may fall behind; the events service cuts one off that falls behind too far.
      await connection.write(Buffer.from(`${JSON.stringify(event)}\n`));
    }
  } catch (error) {
    if (over?.aborted !== true) throw error;
  }
  await connection.finish();
}

/** setTimeout counts in 31 bits: what is further away than 24 days ends the daemon's patience, not the client's. */
const endsAt = (time: Date): AbortSignal =>
  AbortSignal.timeout(Math.min(2 ** 31 - 1, Math.max(0, time.getTime() - Date.now())));
