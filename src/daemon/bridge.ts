import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HakoError } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { eventCodec } from '#doors/containerd/event-any.ts';
import { TarArchives } from '#drivers/archives/archives.ts';
import type { Activator } from '#core/activations.ts';
import { RootfsDriver } from '#drivers/rootfs/rootfs.ts';
import { StreamDriver } from '#drivers/streams/streams.ts';
import type { Ledger } from '#metadata/ledger.ts';
import { Containers } from '#services/containers.ts';
import { Content, type ContentSharing } from '#services/content.ts';
import { Diffs } from '#services/diffs.ts';
import { Engine } from '#services/engine/engine.ts';
import { Events } from '#services/events.ts';
import type { GcScheduleOptions } from '#services/gc-schedule.ts';
import { GarbageCollector } from '#services/gc.ts';
import { Images } from '#services/images.ts';
import { Introspection } from '#services/introspection.ts';
import { Journal } from '#services/journal.ts';
import { Leases } from '#services/leases.ts';
import { Mounts } from '#services/mounts.ts';
import { Namespaces } from '#services/namespaces.ts';
import { Pulls } from '#services/pull.ts';
import { Pushes } from '#services/push.ts';
import type { Services } from '#services/services.ts';
import { SandboxControllers } from '#services/sandbox-controllers.ts';
import { Sandboxes } from '#services/sandboxes.ts';
import { Snapshots } from '#services/snapshots.ts';
import { RegistryObjects } from '#services/registry-objects.ts';
import { Streaming } from '#services/streaming.ts';
import { Tasks } from '#services/tasks.ts';
import { Transfers } from '#services/transfer/transfers.ts';
import type { Config } from './config/schema.ts';
import { orderedDiffers, type DiffSettings } from './diff-settings.ts';
import { gcStatus } from './gc-settings.ts';
import type { StartedPlugins } from './plugins.ts';
import { containerdVersion, version } from './version.ts';

export interface BridgeParts {
  readonly root: string;
  readonly state: string;
  readonly ledger: Ledger;
  readonly plugins: StartedPlugins;
  readonly activator: Activator;
  readonly diffs: DiffSettings;
  readonly gc: GcScheduleOptions;
  readonly sharing: ContentSharing;
  /** How much of the event journal is kept. */
  readonly journal: Config['journal'];
  readonly logger: Logger;
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
  const drivers = plugins.all('snapshotter');
  const [defaultSnapshotter] = drivers.keys();
  if (defaultSnapshotter === undefined) {
    throw new HakoError('failed-precondition', 'no snapshotter works on this machine: the log says why for each');
  }
  const registry = plugins.get('registry', 'oci');

  const journal = new Journal({
    ledger,
    codec: eventCodec,
    maxAge: parts.journal.max_age,
    maxBytes: parts.journal.max_bytes,
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    logger,
  });
  const events = new Events({ codec: eventCodec, ledger, journal, logger });
  const content = new Content({ ledger, events, store: plugins.only('content'), sharing: parts.sharing, logger });
  const snapshots = new Snapshots({ ledger, events, drivers, defaultSnapshotter, logger });
  const gc = new GarbageCollector({ ledger, events, content, snapshots, schedule: parts.gc, logger });
  const namespaces = new Namespaces({ ledger, events });
  const images = new Images({ ledger, events, gc });
  const containers = new Containers({ ledger, events, logger });
  const leases = new Leases({ ledger, gc });
  const mounts = new Mounts({ ledger, activator: parts.activator, logger });
  gc.register(mounts);
  const differs = orderedDiffers(parts.diffs.order, plugins.all('differ'));
  const diffs = new Diffs({ content, differs, syncFs: parts.diffs.syncFs, logger });
  const runtime = plugins.get('runtime', 'task');
  const sandboxers = plugins.all('sandboxer');
  const tasks = new Tasks({ ledger, events, containers, snapshots, runtime, sandboxers, root, state, logger });
  const sandboxes = new Sandboxes({ ledger });
  const sandboxControllers = new SandboxControllers({ ledger, events, tasks, sandboxers, logger });
  const pulls = new Pulls({ registry, content, snapshots, drivers, diffs, leases, images, defaultSnapshotter, logger });
  const pushes = new Pushes({ registry, content, images });
  const registryObjects = new RegistryObjects({ registry, content });
  const streaming = new Streaming();
  gc.register(streaming);
  const archives = new TarArchives();
  const stores = { content, images, leases, snapshots, drivers, defaultSnapshotter };
  const transfers = new Transfers({ ...stores, pulls, pushes, diffs, archives, logger });
  const introspection = new Introspection({
    root,
    plugins: [...plugins.statuses, gcStatus(parts.gc)],
    runtime,
    version: containerdVersion,
    revision: '',
  });
  const network = plugins.all('network').get('cni');
  const rest = {
    namespaces,
    containers,
    images,
    content,
    snapshots,
    leases,
    events,
    gc,
    diffs,
    tasks,
    pulls,
    pushes,
    introspection,
  };
  const engine = new Engine({
    ...rest,
    ledger,
    defaultSnapshotter,
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
      ...rest,
      sandboxes,
      sandboxControllers,
      mounts,
      registryObjects,
      transfers,
      streaming,
      engine,
      journal,
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
