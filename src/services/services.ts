import type { Containers } from './containers.ts';
import type { Content } from './content.ts';
import type { Diffs } from './diffs.ts';
import type { Engine } from './engine/engine.ts';
import type { Events } from './events.ts';
import type { Images } from './images.ts';
import type { Introspection } from './introspection.ts';
import type { Leases } from './leases.ts';
import type { Namespaces } from './namespaces.ts';
import type { Pulls } from './pull.ts';
import type { Pushes } from './push.ts';
import type { Snapshots } from './snapshots.ts';
import type { Tasks } from './tasks.ts';

/** The bridge: everything a door may ask for. The daemon builds it, once. */
export interface Services {
  readonly namespaces: Namespaces;
  readonly containers: Containers;
  readonly images: Images;
  readonly content: Content;
  readonly snapshots: Snapshots;
  readonly leases: Leases;
  readonly events: Events;
  readonly diffs: Diffs;
  readonly tasks: Tasks;
  readonly pulls: Pulls;
  readonly pushes: Pushes;
  readonly introspection: Introspection;
  readonly engine: Engine;
}
