import { unimplemented } from '#base/errors.ts';

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

/** What this daemon is made of. */
export class Introspection {
  plugins(): readonly PluginStatus[] {
    throw unimplemented('introspection.plugins');
  }
  server(): { uuid: string; pid: number; pidns: number } {
    throw unimplemented('introspection.server');
  }
  version(): { version: string; revision: string } {
    throw unimplemented('introspection.version');
  }
}
