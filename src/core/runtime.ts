import type { Any } from './any.ts';
import type { Mount } from './mounts.ts';

/** Where a process reads and writes: paths of FIFOs, `file://` URIs, or '' for nothing. */
export interface Stdio {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
}

/** Names a container's process: `execId` '' is its first one. */
export interface ProcessRef {
  readonly namespace: string;
  readonly id: string;
  readonly execId: string;
}

export type TaskStatus = 'created' | 'running' | 'stopped' | 'paused' | 'pausing' | 'unknown';

export interface ProcessState {
  readonly pid: number;
  readonly status: TaskStatus;
  readonly stdio: Stdio;
  readonly exit?: Exit;
  /** Directory of the bundle. */
  readonly bundle: string;
}

/** How a process ended. `status` is its exit code, or 128 plus the signal. */
export interface Exit {
  readonly pid: number;
  readonly status: number;
  readonly at: Date;
}

export interface CreateTask {
  readonly namespace: string;
  readonly id: string;
  /** The OCI runtime spec as JSON. */
  readonly spec: Uint8Array;
  readonly rootfs: readonly Mount[];
  readonly stdio: Stdio;
  /** containerd's runtime name (`io.containerd.runc.v2`) with its options. */
  readonly runtime: { readonly name: string; readonly options?: Any };
  /** Where records of the output go (Docker's json-file format); undefined keeps none. */
  readonly log?: { readonly path: string };
}

export interface RuntimeFeatures {
  readonly binary: string;
  /** JSON as of the runtime specification's features.md; undefined when the runtime does not tell. */
  readonly features?: Uint8Array;
}

/**
 * Makes containers through shims. Above it nobody knows which shim serves whom. Errors of the OCI runtime come as
 * HakoError with the runtime's own words; a command that is not in the image is `not-found`, one that may not be
 * executed `permission-denied`.
 */
export interface Runtime {
  /** Writes the bundle, mounts the rootfs, creates the first process, stopped. Leaves nothing behind when it fails. */
  create(request: CreateTask, signal: AbortSignal): Promise<{ pid: number }>;
  /** Prepares a further process; `spec` is an OCI process as JSON. */
  exec(ref: ProcessRef, request: { spec: Uint8Array; stdio: Stdio }, signal: AbortSignal): Promise<void>;
  start(ref: ProcessRef, signal: AbortSignal): Promise<{ pid: number }>;
  /** not-found when no shim knows it. */
  state(ref: ProcessRef, signal: AbortSignal): Promise<ProcessState>;
  /** Resolves when the process has ended and its output is in the spool. */
  wait(ref: ProcessRef, signal: AbortSignal): Promise<Exit>;
  kill(ref: ProcessRef, request: { signal: number; all: boolean }, signal: AbortSignal): Promise<void>;
  /** Removes a process that has ended; for the first process also mounts, cgroup and bundle. */
  remove(ref: ProcessRef, signal: AbortSignal): Promise<Exit>;
  resize(ref: ProcessRef, size: { width: number; height: number }, signal: AbortSignal): Promise<void>;
  /** Closes the process's standard input. */
  closeStdin(ref: ProcessRef, signal: AbortSignal): Promise<void>;
  pids(ref: ProcessRef, signal: AbortSignal): Promise<{ pid: number; execId?: string }[]>;
  pause(ref: ProcessRef, signal: AbortSignal): Promise<void>;
  resume(ref: ProcessRef, signal: AbortSignal): Promise<void>;
  /** cgroup statistics as the shim encodes them. */
  stats(ref: ProcessRef, signal: AbortSignal): Promise<Any>;
  /** How often the container was out of memory so far, in some count. */
  ooms(ref: ProcessRef): number;
  /** Calls back when that changes, until it is disposed of. */
  watchOoms(ref: ProcessRef, heard: () => void): Disposable;
  /** Writes the state of the container's processes into a directory; `options` are the shim's own. */
  checkpoint(ref: ProcessRef, directory: string, options: Any | undefined, signal: AbortSignal): Promise<void>;
  update(ref: ProcessRef, resources: Any, signal: AbortSignal): Promise<void>;
  /** What the OCI runtime that a name and options stand for says that it can do. */
  features(runtime: CreateTask['runtime'], signal: AbortSignal): Promise<RuntimeFeatures>;
  /** Every task that a bundle on disk or a live shim knows, for reconciling at boot. */
  list(signal: AbortSignal): Promise<{ namespace: string; id: string }[]>;
  /** Ends and removes whatever is left of a task that the ledger does not know. Idempotent. */
  discard(namespace: string, id: string, signal: AbortSignal): Promise<void>;
  /** Files that the first process's output is spooled to, raw bytes from offset 0, for attach. */
  spool(namespace: string, id: string): { stdout: string; stderr: string };
}
