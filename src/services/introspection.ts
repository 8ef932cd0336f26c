import { randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HakoError } from '#base/errors.ts';
import type { CreateTask, Runtime, RuntimeFeatures } from '#core/runtime.ts';

export interface PluginStatus {
  /** containerd's type, such as `io.containerd.snapshotter.v1`. */
  readonly type: string;
  readonly id: string;
  readonly requires: readonly string[];
  readonly platforms: readonly { os: string; architecture: string }[];
  readonly exports: Readonly<Record<string, string>>;
  readonly capabilities: readonly string[];
  /** Why it is not there: code and one line. `skip` codes as containerd's. */
  readonly error?: { readonly code: number; readonly message: string };
}

export interface IntrospectionParts {
  /** The daemon's root directory: its `uuid` file tells one installation from another. */
  readonly root: string;
  readonly plugins: readonly PluginStatus[];
  /** Answers what clients want to know of OCI runtimes. */
  readonly runtime?: Pick<Runtime, 'features'>;
  readonly version: string;
  readonly revision: string;
}

/** What this daemon is made of. */
export class Introspection {
  readonly #parts: IntrospectionParts;
  readonly #uuid: string;
  readonly #pidns: number;
  readonly #more: PluginStatus[] = [];

  constructor(parts: IntrospectionParts) {
    this.#parts = parts;
    this.#uuid = installationId(parts.root);
    this.#pidns = pidNamespace();
  }

  plugins(): readonly PluginStatus[] {
    return [...this.#parts.plugins, ...this.#more];
  }

  /** not-found in containerd's words. */
  plugin(type: string, id: string): PluginStatus {
    const found = this.plugins().find((plugin) => plugin.type === type && plugin.id === id);
    if (found === undefined) throw new HakoError('not-found', `plugin ${type}.${id} not found: not found`);
    return found;
  }

  /** Adds what is known only when the doors are built. */
  add(plugins: readonly PluginStatus[]): void {
    this.#more.push(...plugins);
  }

  /** What an OCI runtime can do; of other plugins nobody can ask more. */
  async runtimeFeatures(
    { type, id, error }: PluginStatus,
    runtime: CreateTask['runtime'],
    signal: AbortSignal,
  ): Promise<RuntimeFeatures> {
    if (error !== undefined) {
      const message = 'cannot get extra info, plugin not successfully loaded: failed precondition';
      throw new HakoError('failed-precondition', message);
    }
    const { runtime: driver } = this.#parts;
    if (type !== 'io.containerd.runtime.v2' || id !== 'task' || driver === undefined)
      throw new HakoError('unimplemented', 'plugin does not provided extra information: not implemented');
    return driver.features(runtime, signal);
  }

  server(): { uuid: string; pid: number; pidns: number } {
    return { uuid: this.#uuid, pid: process.pid, pidns: this.#pidns };
  }

  version(): { version: string; revision: string } {
    return { version: this.#parts.version, revision: this.#parts.revision };
  }
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Tells this root directory from any other. A file that a kill has left empty or half written is written again. */
export function installationId(root: string): string {
  const path = join(root, 'uuid');
  try {
    const text = readFileSync(path, 'utf8').trim();
    if (UUID.test(text)) return text;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
  const uuid = randomUUID();
  writeFileSync(path, uuid, { mode: 0o600 });
  return uuid;
}

/** The inode of our pid namespace, which clients compare with their own: `pid:[4026531836]`. */
function pidNamespace(): number {
  return Number(/\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? 0);
}
