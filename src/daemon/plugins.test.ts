import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Logger } from '#base/log.ts';
import type { Plugin } from '#core/plugins.ts';
import type { Registry } from '#core/registry.ts';
import { plugin, startPlugins, type PluginOptions } from './plugins.ts';

const registry = {} as Registry;

function make(
  id: string,
  start: Plugin<'registry', unknown>['start'] = async () => registry,
  parseConfig: (raw: unknown) => unknown = (raw) => raw,
) {
  return plugin<'registry', unknown>({ kind: 'registry', id, parseConfig, start });
}

function options(more: Partial<PluginOptions> = {}): PluginOptions & { lines: string[] } {
  const lines: string[] = [];
  const logger: Logger = {
    log: (level, message, fields) => lines.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`),
  };
  return {
    disabled: [],
    required: [],
    configuration: {},
    directories: (kind, id) => ({ root: `/r/${kind}/${id}`, state: `/s/${kind}/${id}` }),
    logger,
    signal: new AbortController().signal,
    lines,
    ...more,
  };
}

test('a plugin gets its configuration and its directories', async () => {
  let seen: unknown;
  const one = make('a', async (context, config) => {
    seen = [context.root, context.state, config];
    return registry;
  });
  const started = await startPlugins([one], options({ configuration: { 'io.hakobune.registry.v1.a': { x: 1 } } }));
  assert.deepEqual(seen, ['/r/registry/a', '/s/registry/a', { x: 1 }]);
  assert.equal(started.get('registry', 'a'), registry);
  assert.deepEqual([...started.all('registry').keys()], ['a']);
});

test('one that skips, fails or is disabled is left out, told of, and named with its reason when asked for', async () => {
  const all = [
    make('good'),
    make('skips', async () => ({ skip: 'kernel lacks btrfs' })),
    make('fails', () => Promise.reject(new Error('no disk'))),
    make('unwanted', () => assert.fail('it was started')),
  ];
  const started = await startPlugins(all, options({ disabled: ['io.hakobune.registry.v1.unwanted'] }));
  assert.deepEqual([...started.all('registry').keys()], ['good']);
  assert.deepEqual(
    started.statuses.map((one) => [one.id, one.error?.message]),
    [
      ['good', undefined],
      ['skips', 'kernel lacks btrfs: skip plugin'],
      ['fails', 'no disk'],
      ['unwanted', 'disabled in the configuration: skip plugin'],
    ],
  );
  assert.throws(() => started.get('registry', 'skips'), { code: 'failed-precondition', message: /kernel lacks btrfs/ });
});

test('a required plugin that does not start, or cannot exist, stops the daemon with the reason', async () => {
  const skips = make('skips', async () => ({ skip: 'kernel lacks btrfs' }));
  await assert.rejects(startPlugins([skips], options({ required: ['io.hakobune.registry.v1.skips'] })), {
    code: 'failed-precondition',
    message: 'required plugin "io.hakobune.registry.v1.skips" did not start: kernel lacks btrfs',
  });
  await assert.rejects(startPlugins([skips], options({ required: ['io.hakobune.registry.v1.skip'] })), {
    message: /is not known: did you mean "io\.hakobune\.registry\.v1\.skips"\?$/,
  });
});

test('names that mean nothing are warned about', async () => {
  const given = options({
    disabled: ['io.hakobune.registry.v1.b'],
    configuration: { 'io.containerd.grpc.v1.cri': {} },
  });
  await startPlugins([make('a')], given);
  assert.equal(given.lines.filter((line) => line.startsWith('warn')).length, 2);
});

test('a plugin that is configured wrongly stops the daemon and names its table', async () => {
  const strict = make('a', undefined, () => {
    throw new Error('depth is -1: must be at least 0');
  });
  await assert.rejects(startPlugins([strict], options()), {
    code: 'invalid-argument',
    message: '[plugins."io.hakobune.registry.v1.a"]: depth is -1: must be at least 0',
  });
});
