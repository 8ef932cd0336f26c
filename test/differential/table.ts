import { namespaces } from './scenarios/namespaces.ts';
import { snapshots } from './scenarios/snapshots.ts';
import type { Scenario } from './scenario.ts';

/** Everything that both sides are asked. */
export const table: readonly Scenario[] = [...namespaces, ...snapshots];
