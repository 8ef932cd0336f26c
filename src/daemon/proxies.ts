import { HakoError, invalid, messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { hostPlatform, parsePlatform, type PlatformWords } from '#base/platforms.ts';
import type { PluginContracts, PluginFacts, PluginKind } from '#core/plugins.ts';
import type { ProxyAddress } from '#drivers/proxies/connection.ts';
import { ContentProxy } from '#drivers/proxies/content.ts';
import { DiffProxy } from '#drivers/proxies/diffs.ts';
import { SandboxProxy } from '#drivers/proxies/sandboxes.ts';
import { SnapshotProxy } from '#drivers/proxies/snapshots.ts';
import { builtIns } from './built-ins.ts';
import type { Config } from './config/schema.ts';
import { plugin, type Plugins } from './plugins.ts';

type Settings = Config['proxy_plugins'][string];

/** What stands for a plugin that is in another process. `owner` tells our things there from those of others. */
interface ProxyKind<Kind extends PluginKind> {
  readonly kind: Kind;
  connect(at: ProxyAddress, owner: string, capabilities: readonly string[]): PluginContracts[Kind] & { close(): void };
}

const snapshots: ProxyKind<'snapshotter'> = {
  kind: 'snapshotter',
  connect: (at, owner, capabilities) => new SnapshotProxy(at, owner, { rebases: capabilities.includes('rebase') }),
};
const content: ProxyKind<'content'> = { kind: 'content', connect: (at, owner) => new ContentProxy(at, owner) };
const diffs: ProxyKind<'differ'> = { kind: 'differ', connect: (at) => new DiffProxy(at) };
const sandboxes: ProxyKind<'sandboxer'> = { kind: 'sandboxer', connect: (at) => new SandboxProxy(at) };

type AnyProxyKind = typeof snapshots | typeof content | typeof diffs | typeof sandboxes;

/** By what the configuration calls them. */
const kinds: Readonly<Record<Settings['type'], AnyProxyKind>> = {
  snapshot: snapshots,
  'io.containerd.snapshotter.v1': snapshots,
  content,
  'io.containerd.content.v1': content,
  diff: diffs,
  'io.containerd.differ.v1': diffs,
  sandbox: sandboxes,
  'io.containerd.sandbox.controller.v1': sandboxes,
};

/**
 * The plugins of `[proxy_plugins]`. Each starts without a word to its socket, which may not be there yet. One that has the
 * name of a built-in plugin is refused.
 */
export function proxyPlugins(settings: Config['proxy_plugins'], owner: string, logger: Logger): Plugins {
  return Object.entries(settings).flatMap(([name, one]) => {
    const proxied = kinds[one.type];
    if (one.address === '') throw invalid(`proxy_plugins.${name}.address is missing: want the path of a unix socket`);
    if (builtIns.some(({ kind, id }) => kind === proxied.kind && id === name)) {
      throw new HakoError('invalid-argument', `proxy_plugins.${name}: a built-in plugin has that name: choose another`);
    }
    const facts = factsOf(name, one, logger);
    switch (proxied.kind) {
      case 'snapshotter':
        return [proxyOf(proxied, name)];
      case 'content':
        return [proxyOf(proxied, name)];
      case 'differ':
        return [proxyOf(proxied, name)];
      case 'sandboxer':
        return [proxyOf(proxied, name)];
    }

    function proxyOf<Kind extends PluginKind>(of: ProxyKind<Kind>, id: string): Plugins[number] {
      return plugin<Kind, null>({
        kind: of.kind,
        id,
        parseConfig: () => null,
        start: async ({ tell, signal }) => {
          tell(facts);
          const proxy = of.connect({ name: id, address: one.address }, owner, one.capabilities);
          signal.addEventListener('abort', () => proxy.close(), { once: true });
          return proxy;
        },
      });
    }
  });
}

function factsOf(name: string, one: Settings, logger: Logger): PluginFacts {
  const exports: Record<string, string> = {};
  for (const [key, value] of Object.entries(one.exports)) {
    if (typeof value !== 'string') throw invalid(`proxy_plugins.${name}.exports.${key}: want a text`);
    exports[key] = value;
  }
  const platform = platformOf(name, one.platform, logger);
  return {
    exports: { ...exports, address: one.address },
    capabilities: one.capabilities,
    platforms: platform === undefined ? [] : [platform],
  };
}

function platformOf(name: string, text: string, logger: Logger): PlatformWords | undefined {
  if (text === '') return hostPlatform();
  try {
    return parsePlatform(text);
  } catch (error) {
    logger.log('warn', `proxy_plugins.${name}.platform is passed over: ${messageOf(error)}`);
    return undefined;
  }
}
