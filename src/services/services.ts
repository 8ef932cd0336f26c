import type { Checkpoints } from './checkpoints.ts';
import type { Engine } from './engine/engine.ts';
import type { Journal } from './journal.ts';
import type { Mounts } from './mounts.ts';
import type { Nouns } from './nouns.ts';
import type { RegistryObjects } from './registry-objects.ts';
import type { SandboxControllers } from './sandbox-controllers.ts';
import type { Sandboxes } from './sandboxes.ts';
import type { Streaming } from './streaming.ts';
import type { Transfers } from './transfer/transfers.ts';

/** The bridge: everything a door may ask for. The daemon builds it, once. */
export interface Services extends Nouns {
  readonly checkpoints: Checkpoints;
  readonly engine: Engine;
  readonly journal: Journal;
  readonly mounts: Mounts;
  readonly registryObjects: RegistryObjects;
  readonly sandboxes: Sandboxes;
  readonly sandboxControllers: SandboxControllers;
  readonly streaming: Streaming;
  readonly transfers: Transfers;
}
