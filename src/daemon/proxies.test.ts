import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Logger } from '#base/log.ts';
import type { Config } from './config/schema.ts';
import { startPlugins, type StartedPlugins } from './plugins.ts';
import { proxyPlugins } from './proxies.ts';

type Proxy = Config['proxy_plugins'][string];

const one = (more: Partial<Proxy>): Proxy => ({
  type: 'snapshot',
  address: '/none.sock',
  platform: 'linux/amd64',
  exports: {},
  capabilities: [],
  ...more,
});

function start(proxies: Config['proxy_plugins'], lines: string[] = []): Promise<StartedPlugins> {
  const logger: Logger = { log: (level, message) => void lines.push(`${level} ${message}`) };
  return startPlugins(proxyPlugins(proxies, 'me', logger), {
    disabled: [],
    required: [],
    configuration: {},
    directories: () => ({ root: '/none', state: '/none' }),
    logger,
    signal: new AbortController().signal,
  });
}

test("a proxy starts without its socket, and is shown under containerd's type with what the configuration says", async () => {
  const started = await start({
    stargz: one({ exports: { root: '/var/lib/x' }, capabilities: ['remap-ids'] }),
    far: one({ type: 'io.containerd.content.v1', platform: '' }),
    vm: one({ type: 'sandbox' }),
  });
  assert.deepEqual([...started.all('sandboxer').keys()], ['vm']);
  assert.deepEqual([...started.all('snapshotter').keys()], ['stargz']);
  const [shown] = started.statuses;
  assert.deepEqual(shown, {
    type: 'io.containerd.snapshotter.v1',
    id: 'stargz',
    requires: [],
    platforms: [{ os: 'linux', architecture: 'amd64' }],
    exports: { root: '/var/lib/x', address: '/none.sock' },
    capabilities: ['remap-ids'],
  });
  assert.equal(started.statuses[1]?.platforms[0]?.os, 'linux');
});

test('a call to a proxy that is down is unavailable and names it and its address', async () => {
  const started = await start({ stargz: one({}) });
  const driver = started.all('snapshotter').get('stargz') ?? assert.fail();
  await assert.rejects(driver.remove('default/1/key' as never, AbortSignal.timeout(5000)), {
    code: 'unavailable',
    message: /^proxy plugin "stargz" at "\/none\.sock" is not available: .*ENOENT/,
  });
});

test('what cannot be is refused, by name', async () => {
  const wrong: [Config['proxy_plugins'], RegExp][] = [
    [{ x: one({ address: '' }) }, /^proxy_plugins\.x\.address is missing/],
    [{ native: one({}) }, /^proxy_plugins\.native: a built-in plugin has that name/],
    [{ shim: one({ type: 'sandbox' }) }, /^proxy_plugins\.shim: a built-in plugin has that name/],
    [{ x: one({ exports: { root: 5 } }) }, /^proxy_plugins\.x\.exports\.root: want a text/],
  ];
  for (const [proxies, message] of wrong) await assert.rejects(async () => start(proxies), { message });
});

test('two content stores are one too many, and the message says what to do', async () => {
  const started = await start({ a: one({ type: 'content' }), b: one({ type: 'content' }) });
  assert.throws(
    () => started.only('content'),
    /"io\.containerd\.content\.v1\.a", .*v1\.b": name those .* disabled_plugins/,
  );
});
