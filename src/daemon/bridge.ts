import { join } from 'node:path';
import { TarArchives } from '#drivers/archives/archives.ts';
import { RootfsDriver } from '#drivers/rootfs/rootfs.ts';
import { StreamDriver } from '#drivers/streams/streams.ts';
import { Checkpoints } from '#services/checkpoints.ts';
import { Engine } from '#services/engine/engine.ts';
import { Introspection } from '#services/introspection.ts';
import { Pulls } from '#services/pull.ts';
import { Pushes } from '#services/push.ts';
import type { Services } from '#services/services.ts';
import { SandboxControllers } from '#services/sandbox-controllers.ts';
import { Sandboxes } from '#services/sandboxes.ts';
import { RegistryObjects } from '#services/registry-objects.ts';
import { Streaming } from '#services/streaming.ts';
import { Tasks } from '#services/tasks.ts';
import { Transfers } from '#services/transfer/transfers.ts';
import { gcStatus } from './gc-settings.ts';
import { buildStores, type StoreParts } from './stores.ts';
import { containerdVersion, version } from './version.ts';

export interface BridgeParts extends StoreParts {
  readonly root: string;
  readonly state: string;
  /** Ends with the daemon. */
  readonly signal: AbortSignal;
}

/** The services, and how to start and end what they do by themselves. */
export interface Bridge {
  readonly services: Services;
  /** Agrees with kernel, shims and disk. Nobody may call before it has resolved. */
  reconcile(): Promise<void>;
  close(): Promise<void>;
}

/** Builds the services over the drivers, from the ones that need nothing to the one that needs them all. */
export function buildBridge(parts: BridgeParts): Bridge {
  const { root, state, ledger, plugins, logger, signal } = parts;
  const stores = buildStores(parts);
  const { journal, events, content, snapshots, gc, namespaces, mounts } = stores;
  const registry = plugins.get('registry', 'oci');
  const runtime = plugins.get('runtime', 'task');
  const sandboxers = plugins.all('sandboxer');
  const tasks = new Tasks({ ...stores, ledger, runtime, sandboxers, root, state, logger });
  const sandboxes = new Sandboxes({ ledger });
  const sandboxControllers = new SandboxControllers({ ledger, events, tasks, sandboxers, logger });
  const pulls = new Pulls({ ...stores, registry, logger });
  const pushes = new Pushes({ ...stores, registry });
  const registryObjects = new RegistryObjects({ registry, content });
  const streaming = new Streaming();
  gc.register(streaming);
  const archives = new TarArchives();
  const transfers = new Transfers({ ...stores, pulls, pushes, archives, logger });
  const introspection = new Introspection({
    root,
    plugins: [...plugins.statuses, gcStatus(parts.gc)],
    runtime,
    version: containerdVersion,
    revision: '',
  });
  const network = plugins.all('network').get('cni');
  const nouns = { ...stores, tasks, pulls, pushes, introspection };
  const engine = new Engine({
    ...nouns,
    ledger,
    ...(network === undefined ? {} : { network }),
    rootfs: new RootfsDriver({ directory: join(state, 'rootfs') }),
    streams: new StreamDriver(),
    version,
    root,
    state,
    logger,
    signal,
  });

  return {
    services: {
      checkpoints: new Checkpoints({ ...nouns, state }),
      ...nouns,
      sandboxes,
      sandboxControllers,
      registryObjects,
      transfers,
      streaming,
      engine,
    },
    reconcile: async () => {
      await mounts.reconcile();
      for (const { name } of namespaces.list()) {
        await pulls.recover({ namespace: name, signal });
        await transfers.recover({ namespace: name, signal });
      }
      await sandboxControllers.reconcile(signal);
      await tasks.reconcile(signal);
      await engine.reconcile(signal);
      await gc.boot(signal);
    },
    close: async () => {
      await engine.close();
      await tasks.close();
      await gc.close();
      await snapshots.close();
      await content.close();
      archives.close();
      events.flush();
      await journal.close();
    },
  };
}
