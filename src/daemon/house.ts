import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { dockerDoor } from '#doors/docker/door.ts';
import { StateActivator } from '#drivers/mounts/activator.ts';
import { Ledger } from '#metadata/ledger.ts';
import { installationId } from '#services/introspection.ts';
import { buildBridge } from './bridge.ts';
import { builtIns } from './built-ins.ts';
import { diffService, diffSettings, withStreamProcessors } from './diff-settings.ts';
import { gcScheduler, gcSettings } from './gc-settings.ts';
import { contentSharing, metadataPlugin } from './metadata-settings.ts';
import type { PluginKind } from '#core/plugins.ts';
import { startPlugins } from './plugins.ts';
import { proxyPlugins } from './proxies.ts';
import { openContainerdDoor } from './listeners.ts';
import type { House, HouseOptions } from './serve.ts';
import { groupId, openSocket } from './sockets.ts';
import { version } from './version.ts';

/** Below root and state, where a kind of plugin keeps its things; several of a kind get a directory each. */
const places: Readonly<Record<PluginKind, (id: string) => string>> = {
  content: () => 'content',
  snapshotter: (id) => join('snapshots', id),
  differ: () => 'differ',
  runtime: () => '',
  sandboxer: () => '',
  network: () => 'network',
  registry: () => 'registry',
};

/** Builds everything from top to bottom: ledger, drivers, services, doors. Doors open when the house is in order. */
export async function buildHouse({ config, logger, signal }: HouseOptions): Promise<House> {
  const { root, state } = config;
  mkdirSync(root, { recursive: true, mode: 0o711 });
  mkdirSync(state, { recursive: true, mode: 0o711 });
  await using undo = new AsyncDisposableStack();

  const ledger = undo.adopt(new Ledger({ path: join(root, 'ledger.db') }), (it) => it.close());
  const plugins = await startPlugins(
    [...builtIns, ...proxyPlugins(config.proxy_plugins, installationId(root), logger)],
    {
      disabled: config.disabled_plugins,
      required: config.required_plugins,
      configuration: withStreamProcessors(config),
      tables: [diffService, gcScheduler, metadataPlugin],
      directories: (kind, id) => ({ root: join(root, places[kind](id)), state: join(state, places[kind](id)) }),
      logger,
      signal,
    },
  );
  const activator = await StateActivator.start({ state: join(state, 'mounts'), roots: [root] });
  const bridge = undo.adopt(
    buildBridge({
      root,
      state,
      ledger,
      plugins,
      activator,
      journal: config.journal,
      diffs: diffSettings(config.plugins),
      gc: gcSettings(config.plugins),
      sharing: contentSharing(config.plugins),
      logger,
      signal,
    }),
    (it) => it.close(),
  );
  await bridge.reconcile();

  await openContainerdDoor(undo, { config, services: bridge.services, logger });

  const docker = dockerDoor(bridge.services, { version, logger });
  const group = config.docker.group;
  const owner = group === '' ? config.docker : { uid: config.docker.uid, gid: groupId(group) };
  await openSocket(config.docker.address, owner, (path) => docker.listen(path));
  undo.defer(() => docker.close());

  const all = undo.move();
  return { close: () => all.disposeAsync() };
}
