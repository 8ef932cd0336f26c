import type { Containers } from './containers.ts';
import type { Content } from './content.ts';
import type { Diffs } from './diffs.ts';
import type { Events } from './events.ts';
import type { GarbageCollector } from './gc.ts';
import type { Images } from './images.ts';
import type { Introspection } from './introspection.ts';
import type { Leases } from './leases.ts';
import type { Namespaces } from './namespaces.ts';
import type { Pulls } from './pull.ts';
import type { Pushes } from './push.ts';
import type { Snapshots } from './snapshots.ts';
import type { Tasks } from './tasks.ts';

/** The services that know no door's words. Docker's verbs are built upon them. */
export interface Nouns {
  readonly namespaces: Namespaces;
  readonly containers: Containers;
  readonly images: Images;
  readonly content: Content;
  readonly snapshots: Snapshots;
  readonly leases: Leases;
  readonly events: Events;
  readonly gc: GarbageCollector;
  readonly diffs: Diffs;
  readonly tasks: Tasks;
  readonly pulls: Pulls;
  readonly pushes: Pushes;
  readonly introspection: Introspection;
}
