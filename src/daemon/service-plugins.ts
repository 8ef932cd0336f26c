import { join } from 'node:path';
import { formatDuration } from '#base/duration.ts';
import type { PluginStatus } from '#services/introspection.ts';
import type { GrpcService } from '#wire/grpc-service.ts';
import type { Config } from './config/schema.ts';

/**
 * What `ctr plugins ls` shows beside the plugins proper: parts of the daemon that are plugins in containerd, under its types
 * and names, and only those that are there. Clients look them up to see what they may ask for.
 */
export function servicePlugins(api: readonly GrpcService[], config: Config): PluginStatus[] {
  const served = new Set(api.map(({ desc }) => desc.typeName));
  const doors = Object.entries(grpcPlugins).filter(([service]) => served.has(service));
  const inner = innerPlugins.filter(([service]) => service === undefined || served.has(service));
  return [
    status('io.containerd.metadata.v1', 'sqlite', ['io.containerd.content.v1', 'io.containerd.snapshotter.v1'], {
      path: join(config.root, 'ledger.db'),
    }),
    ...inner.map(([, type, id, requires]) => status(type, id, requires)),
    status('io.hakobune.journal.v1', 'journal', ['io.containerd.metadata.v1'], {
      max_age: formatDuration(config.journal.max_age),
      max_bytes: String(config.journal.max_bytes),
    }),
    ...doors.map(([, [id, requires]]) => status('io.containerd.grpc.v1', id, requires)),
  ];
}

const metadata = 'io.containerd.metadata.v1';
const events = 'io.containerd.event.v1';
const services = 'containerd.services.';

/** Parts that stand behind a service, or behind all. */
const innerPlugins: readonly (readonly [service: string | undefined, type: string, id: string, requires: string[]])[] =
  [
    [undefined, events, 'exchange', []],
    [`${services}leases.v1.Leases`, 'io.containerd.lease.v1', 'manager', [metadata, 'io.containerd.gc.v1']],
    [`${services}streaming.v1.Streaming`, 'io.containerd.streaming.v1', 'manager', [metadata]],
    [`${services}transfer.v1.Transfer`, 'io.containerd.transfer.v1', 'local', ['io.containerd.lease.v1', metadata]],
    [`${services}mounts.v1.Mounts`, 'io.containerd.mount-manager.v1', 'sqlite', [metadata]],
    [`${services}sandbox.v1.Store`, 'io.containerd.sandbox.store.v1', 'local', [metadata]],
  ];

/** containerd's name of each service, and what it stands on. */
const grpcPlugins: Readonly<Record<string, readonly [id: string, requires: string[]]>> = {
  [`${services}containers.v1.Containers`]: ['containers', [metadata, events]],
  [`${services}content.v1.Content`]: ['content', [metadata]],
  [`${services}diff.v1.Diff`]: ['diff', ['io.containerd.differ.v1']],
  [`${services}events.v1.Events`]: ['events', [events]],
  [`${services}images.v1.Images`]: ['images', [metadata, 'io.containerd.gc.v1']],
  [`${services}introspection.v1.Introspection`]: ['introspection', []],
  [`${services}leases.v1.Leases`]: ['leases', ['io.containerd.lease.v1']],
  [`${services}mounts.v1.Mounts`]: ['mounts', ['io.containerd.mount-manager.v1']],
  [`${services}namespaces.v1.Namespaces`]: ['namespaces', [metadata, events]],
  [`${services}sandbox.v1.Controller`]: ['sandbox-controllers', ['io.containerd.sandbox.controller.v1', events]],
  [`${services}sandbox.v1.Store`]: ['sandboxes', ['io.containerd.sandbox.store.v1']],
  [`${services}snapshots.v1.Snapshots`]: ['snapshots', [metadata]],
  [`${services}streaming.v1.Streaming`]: ['streaming', ['io.containerd.streaming.v1']],
  [`${services}tasks.v1.Tasks`]: ['tasks', [events, 'io.containerd.runtime.v2', metadata]],
  [`${services}transfer.v1.Transfer`]: ['transfer', ['io.containerd.transfer.v1', 'io.containerd.streaming.v1']],
  [`${services}version.v1.Version`]: ['version', []],
  'grpc.health.v1.Health': ['healthcheck', []],
};

const status = (
  type: string,
  id: string,
  requires: readonly string[],
  exports: Readonly<Record<string, string>> = {},
): PluginStatus => ({ type, id, requires, platforms: [], exports, capabilities: [] });
