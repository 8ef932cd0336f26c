import { arch } from 'node:os';
import { HakoError, messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { nearest } from '#base/nearest.ts';
import type { Plugin, PluginContracts, PluginFacts, PluginKind } from '#core/plugins.ts';
import type { PluginStatus } from '#services/introspection.ts';

/** What clients read in `ctr plugins ls`: containerd's type where it has one for the same thing, ours otherwise. */
export const pluginTypes: Readonly<Record<PluginKind, string>> = {
  content: 'io.containerd.content.v1',
  snapshotter: 'io.containerd.snapshotter.v1',
  differ: 'io.containerd.differ.v1',
  runtime: 'io.containerd.runtime.v2',
  sandboxer: 'io.containerd.sandbox.controller.v1',
  network: 'io.hakobune.network.v1',
  registry: 'io.hakobune.registry.v1',
};

// One plugin of each kind in a row, so that an array of different kinds keeps their types.
type AnyPlugin = { [Kind in PluginKind]: Plugin<Kind, never> }[PluginKind];
type AnyContract = PluginContracts[PluginKind];

/** Widens a plugin so that it fits the array: its configuration type matters only to itself. */
export const plugin = <Kind extends PluginKind, Config>(value: Plugin<Kind, Config>): AnyPlugin =>
  value as unknown as AnyPlugin;

export type Plugins = readonly AnyPlugin[];

export interface PluginOptions {
  readonly disabled: readonly string[];
  readonly required: readonly string[];
  /** The tables of `[plugins]`, by type and id. */
  readonly configuration: Readonly<Record<string, unknown>>;
  /** Tables there that are no plugin's, but somebody reads them. */
  readonly tables?: readonly string[];
  /** Where a plugin may keep its things. */
  readonly directories: (kind: PluginKind, id: string) => { readonly root: string; readonly state: string };
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** The plugins that started, and what became of the others. */
export class StartedPlugins {
  readonly #contracts: ReadonlyMap<string, AnyContract>;
  readonly statuses: readonly PluginStatus[];

  constructor(contracts: ReadonlyMap<string, AnyContract>, statuses: readonly PluginStatus[]) {
    this.#contracts = contracts;
    this.statuses = statuses;
  }

  /** Throws failed-precondition with the reason when it did not start. */
  get<Kind extends PluginKind>(kind: Kind, id: string): PluginContracts[Kind] {
    const uri = `${pluginTypes[kind]}.${id}`;
    const found = this.#contracts.get(uri);
    if (found !== undefined) return found as PluginContracts[Kind];
    const status = this.statuses.find((one) => one.type === pluginTypes[kind] && one.id === id);
    throw new HakoError('failed-precondition', `plugin "${uri}": ${status?.error?.message ?? 'is not known'}`);
  }

  /** The only one of a kind. Throws failed-precondition where there are several, or none: the configuration decides. */
  only<Kind extends PluginKind>(kind: Kind): PluginContracts[Kind] {
    const [first, ...more] = this.all(kind);
    if (first !== undefined && more.length === 0) return first[1];
    const found = [first, ...more].flatMap((one) => (one === undefined ? [] : [`"${pluginTypes[kind]}.${one[0]}"`]));
    throw new HakoError(
      'failed-precondition',
      first === undefined
        ? `no plugin of type "${pluginTypes[kind]}" works: the log says why`
        : `there is room for one plugin of type "${pluginTypes[kind]}", but there are ${found.join(', ')}: ` +
            `name those you do not want in disabled_plugins`,
    );
  }

  /** All of a kind by their ids, in the order of the array. */
  all<Kind extends PluginKind>(kind: Kind): ReadonlyMap<string, PluginContracts[Kind]> {
    const prefix = `${pluginTypes[kind]}.`;
    const found = [...this.#contracts].filter(([uri]) => uri.startsWith(prefix));
    return new Map(found.map(([uri, contract]) => [uri.slice(prefix.length), contract as PluginContracts[Kind]]));
  }
}

/**
 * Starts plugins one after another, in the order of the array. One that fails or does not suit this machine is left out
 * and told of, unless the configuration requires it: then this throws failed-precondition with the reason.
 */
export async function startPlugins(plugins: Plugins, options: PluginOptions): Promise<StartedPlugins> {
  checkNames(plugins, options);
  const contracts = new Map<string, AnyContract>();
  const statuses: PluginStatus[] = [];
  for (const one of plugins) {
    const uri = uriOf(one);
    let facts: PluginFacts = {};
    const outcome = options.disabled.includes(uri)
      ? { skip: 'disabled in the configuration' }
      : await start(one, options, (told) => (facts = { ...facts, ...told }));
    const reason = 'skip' in outcome ? outcome.skip : 'error' in outcome ? outcome.error : undefined;
    if (reason !== undefined && options.required.includes(uri)) {
      throw new HakoError('failed-precondition', `required plugin "${uri}" did not start: ${reason}`);
    }
    if ('contract' in outcome) contracts.set(uri, outcome.contract);
    const status = statusOf(one, outcome);
    const exports = { ...ownExports(one.kind, options.directories(one.kind, one.id).root), ...facts.exports };
    statuses.push({ ...status, ...facts, exports });
    report(uri, outcome, options.logger);
  }
  return new StartedPlugins(contracts, statuses);
}

type Outcome = { readonly contract: AnyContract } | { readonly skip: string } | { readonly error: string };

const uriOf = (one: { readonly kind: PluginKind; readonly id: string }): string => `${pluginTypes[one.kind]}.${one.id}`;

async function start(one: AnyPlugin, options: PluginOptions, tell: (facts: PluginFacts) => void): Promise<Outcome> {
  const uri = uriOf(one);
  let config: never;
  try {
    config = one.parseConfig(options.configuration[uri] ?? {});
  } catch (error) {
    // A plugin that is configured wrongly must not be missed quietly: someone wanted something of it.
    throw new HakoError('invalid-argument', `[plugins.${JSON.stringify(uri)}]: ${messageOf(error)}`, error);
  }
  const context = { ...options.directories(one.kind, one.id), logger: options.logger, signal: options.signal, tell };
  try {
    const started = await one.start(context, config);
    return 'skip' in started ? { skip: started.skip } : { contract: started };
  } catch (error) {
    options.signal.throwIfAborted();
    return { error: messageOf(error) };
  }
}

function report(uri: string, outcome: Outcome, logger: Logger): void {
  if ('skip' in outcome) logger.log('info', 'plugin left out', { plugin: uri, reason: outcome.skip });
  else if ('error' in outcome) logger.log('error', 'plugin failed', { plugin: uri, reason: outcome.error });
  else logger.log('debug', 'plugin started', { plugin: uri });
}

const architectures: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };
const platform = { os: 'linux', architecture: architectures[arch()] ?? arch() };
const withPlatform: readonly PluginKind[] = ['snapshotter', 'differ', 'runtime'];

function statusOf(one: AnyPlugin, outcome: Outcome): PluginStatus {
  const status = {
    type: pluginTypes[one.kind],
    id: one.id,
    requires: [],
    platforms: withPlatform.includes(one.kind) ? [platform] : [],
    exports: {},
    capabilities: [],
  };
  // gRPC's unknown (2); `ctr` tells a skipped plugin from a broken one by containerd's own words at the end.
  if ('skip' in outcome) return { ...status, error: { code: 2, message: `${outcome.skip}: skip plugin` } };
  if ('error' in outcome) return { ...status, error: { code: 2, message: outcome.error } };
  return status;
}

/** As with containerd, who keeps data says where. */
const ownExports = (kind: PluginKind, root: string): Readonly<Record<string, string>> =>
  kind === 'content' || kind === 'snapshotter' ? { root } : {};

/** Warns of names that mean nothing; a required plugin that cannot exist is refused. */
function checkNames(plugins: Plugins, options: PluginOptions): void {
  const known = new Set(plugins.map(uriOf));
  const hint = (name: string): string => {
    const near = nearest(name, known);
    return near === undefined ? '' : `: did you mean "${near}"?`;
  };
  for (const name of options.required) {
    if (!known.has(name))
      throw new HakoError('failed-precondition', `required plugin "${name}" is not known${hint(name)}`);
  }
  const named: [string, readonly string[]][] = [
    ['disabled_plugins', options.disabled],
    ['[plugins]', Object.keys(options.configuration).filter((name) => options.tables?.includes(name) !== true)],
  ];
  for (const [place, names] of named) {
    for (const name of names) {
      if (!known.has(name)) options.logger.log('warn', `${place}: plugin "${name}" is not known${hint(name)}`);
    }
  }
}
