import { randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

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
  readonly version: string;
  readonly revision: string;
}

/** What this daemon is made of. */
export class Introspection {
  readonly #parts: IntrospectionParts;
  readonly #uuid: string;
  readonly #pidns: number;

  constructor(parts: IntrospectionParts) {
    this.#parts = parts;
    this.#uuid = installationId(parts.root);
    this.#pidns = pidNamespace();
  }

  plugins(): readonly PluginStatus[] {
    return this.#parts.plugins;
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
