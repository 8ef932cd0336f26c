/**
 * What `POST /containers/create` carries, in the Engine API's own field names (API 1.51: `Config` at the top level,
 * `HostConfig`, `NetworkingConfig`). The door checks shape and limits; the engine gives meaning. Kept whole with the
 * container, so that inspect echoes it.
 */
export interface ContainerRequest {
  readonly [key: string]: unknown;
  readonly Image: string;
  readonly HostConfig?: { readonly [key: string]: unknown };
  readonly NetworkingConfig?: { readonly [key: string]: unknown };
}

/** Inspect and list answers, in the Engine API's own field names and shape. */
export type EngineObject = { readonly [key: string]: unknown };

/** A live connection to a container's streams. */
export interface Attachment extends AsyncDisposable {
  readonly tty: boolean;
  /** Output in order; ends when the process has ended and everything was given. */
  readonly output: AsyncIterable<{ readonly stream: 'stdout' | 'stderr'; readonly data: Uint8Array }>;
  /** Resolves when more is welcome. */
  write(data: Uint8Array): Promise<void>;
  /** The client closed its side of standard input. */
  end(): Promise<void>;
}

export interface LogOptions {
  readonly follow: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** Lines from the end; undefined is all. */
  readonly tail?: number;
  readonly since?: Date;
  readonly until?: Date;
}

export interface LogRecord {
  readonly stream: 'stdout' | 'stderr';
  readonly time: string;
  readonly data: Uint8Array;
}

export interface ExecRequest {
  readonly cmd: readonly string[];
  readonly env: readonly string[];
  readonly user: string;
  readonly workdir: string;
  readonly tty: boolean;
  readonly privileged: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly detachKeys: string;
}

export type WaitCondition = 'not-running' | 'next-exit' | 'removed';
