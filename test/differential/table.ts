import { archives } from './scenarios/archives.ts';
import { containers } from './scenarios/containers.ts';
import { content } from './scenarios/content.ts';
import { globals } from './scenarios/globals.ts';
import { images } from './scenarios/images.ts';
import { leases } from './scenarios/leases.ts';
import { namespaces } from './scenarios/namespaces.ts';
import { registry } from './scenarios/registry.ts';
import { runs } from './scenarios/run.ts';
import { snapshots } from './scenarios/snapshots.ts';
import { tasks } from './scenarios/tasks.ts';
import type { Scenario } from './scenario.ts';

/** Everything that both sides are asked. */
export const table: readonly Scenario[] = [
  ...namespaces,
  ...globals,
  ...leases,
  ...snapshots,
  ...content,
  ...images,
  ...archives,
  ...registry,
  ...containers,
  ...runs,
  ...tasks,
];
