import type { Services } from '#services/services.ts';
import type { GrpcService } from '#wire/grpc-service.ts';
import { containersService } from './containers.ts';
import { contentService } from './content.ts';
import { diffService } from './diffs.ts';
import { eventsService } from './events.ts';
import { gcService } from './gc.ts';
import { healthService } from './health.ts';
import { imagesService } from './images.ts';
import { introspectionService } from './introspection.ts';
import { journalService } from './journal.ts';
import { leasesService } from './leases.ts';
import { mountsService } from './mounts.ts';
import { namespacesService } from './namespaces.ts';
import { registryService } from './registry.ts';
import { sandboxControllerService, sandboxStoreService } from './sandboxes.ts';
import { snapshotsService } from './snapshots.ts';
import { streamingService } from './streaming.ts';
import { tasksService } from './tasks.ts';
import { transferService } from './transfer.ts';
import { versionService } from './version.ts';

/** containerd's API over our services. What is not in this list is unimplemented. */
export function containerdDoor(services: Services): GrpcService[] {
  const api = [
    containersService(services.containers),
    contentService(services.content),
    diffService(services.diffs),
    eventsService(services.events),
    gcService(services.gc),
    imagesService(services.images),
    introspectionService(services.introspection),
    journalService(services.journal),
    leasesService(services.leases),
    mountsService(services.mounts),
    namespacesService(services.namespaces),
    registryService(services.registryObjects),
    sandboxControllerService(services.sandboxControllers),
    sandboxStoreService(services.sandboxes),
    snapshotsService(services.snapshots),
    streamingService(services.streaming),
    tasksService(services.tasks, services.checkpoints, services.containers),
    transferService(services.transfers, services.streaming),
    versionService(services.introspection),
  ];
  return [...api, healthService()];
}
