import { readFileSync } from 'node:fs';
import { HakoError } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { Activator } from '#core/activations.ts';
import { eventCodec } from '#doors/containerd/event-any.ts';
import type { Ledger } from '#metadata/ledger.ts';
import { Containers } from '#services/containers.ts';
import { Content, type ContentSharing } from '#services/content.ts';
import { Diffs } from '#services/diffs.ts';
import { Events } from '#services/events.ts';
import type { GcScheduleOptions } from '#services/gc-schedule.ts';
import { GarbageCollector } from '#services/gc.ts';
import { Images } from '#services/images.ts';
import { Journal } from '#services/journal.ts';
import { Leases } from '#services/leases.ts';
import { Mounts } from '#services/mounts.ts';
import { Namespaces } from '#services/namespaces.ts';
import { Snapshots } from '#services/snapshots.ts';
import type { Config } from './config/schema.ts';
import { orderedDiffers, type DiffSettings } from './diff-settings.ts';
import type { StartedPlugins } from './plugins.ts';

export interface StoreParts {
  readonly ledger: Ledger;
  readonly plugins: StartedPlugins;
  readonly activator: Activator;
  readonly diffs: DiffSettings;
  readonly gc: GcScheduleOptions;
  readonly sharing: ContentSharing;
  /** How much of the event journal is kept. */
  readonly journal: Config['journal'];
  readonly logger: Logger;
}

/** The services that keep things, and the collector of what nobody wants any more. None of them runs or fetches anything. */
export function buildStores(parts: StoreParts) {
  const { ledger, plugins, logger } = parts;
  const drivers = plugins.all('snapshotter');
  const [defaultSnapshotter] = drivers.keys();
  if (defaultSnapshotter === undefined) {
    throw new HakoError('failed-precondition', 'no snapshotter works on this machine: the log says why for each');
  }
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
  return {
    drivers,
    defaultSnapshotter,
    journal,
    events,
    content,
    snapshots,
    gc,
    namespaces,
    images,
    containers,
    leases,
    mounts,
    diffs,
  };
}
