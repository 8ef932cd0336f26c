import type { Logger } from '#base/log.ts';
import type { ContentStore } from './content.ts';
import type { Differ } from './differs.ts';
import type { Platform } from './images.ts';
import type { NetworkDriver } from './network.ts';
import type { Registry } from './registry.ts';
import type { Runtime } from './runtime.ts';
import type { Sandboxer } from './sandboxes.ts';
import type { SnapshotDriver } from './snapshots.ts';

/** What a plugin of each kind gives. The key is shown to clients as containerd's plugin type. */
export interface PluginContracts {
  content: ContentStore;
  snapshotter: SnapshotDriver;
  differ: Differ;
  runtime: Runtime;
  sandboxer: Sandboxer;
  network: NetworkDriver;
  registry: Registry;
}

export type PluginKind = keyof PluginContracts;

/** What a plugin says of itself, beside its name, to whoever lists plugins. */
export interface PluginFacts {
  readonly exports?: Readonly<Record<string, string>>;
  readonly capabilities?: readonly string[];
  readonly platforms?: readonly Platform[];
}

export interface PluginContext {
  /** The plugin's own directories: `root` is kept over reboots, `state` is not. */
  readonly root: string;
  readonly state: string;
  readonly logger: Logger;
  /** Keeps the facts for those who list plugins. */
  readonly tell: (facts: PluginFacts) => void;
  /** Ends with the daemon. */
  readonly signal: AbortSignal;
}

/** A plugin is a value. `skip` says in one line why this machine cannot have it. */
export interface Plugin<Kind extends PluginKind = PluginKind, Config = unknown> {
  readonly kind: Kind;
  readonly id: string;
  parseConfig(raw: unknown): Config;
  start(context: PluginContext, config: Config): Promise<PluginContracts[Kind] | { readonly skip: string }>;
}
