import type { Any, Labels } from './any.ts';
import type { Platform } from './images.ts';
import type { Mount } from './mounts.ts';

/** A place for a group of containers, as it is to be. It runs nothing itself: its sandboxer does. */
export interface Sandbox {
  readonly id: string;
  readonly labels: Labels;
  readonly runtime: { readonly name: string; readonly options?: Any };
  /** Kin of an OCI runtime spec, as JSON in an Any. */
  readonly spec?: Any;
  /** The sandboxer that runs it; '' when its client said none. */
  readonly sandboxer: string;
  readonly extensions: Readonly<Record<string, Any>>;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** What a sandboxer is told of a sandbox: it need not be in any store. */
export type SandboxPlan = Pick<Sandbox, 'id'> & Partial<Omit<Sandbox, 'id'>>;

export interface CreateSandbox {
  readonly namespace: string;
  readonly sandbox: SandboxPlan;
  readonly rootfs: readonly Mount[];
  /** For whoever runs it, beyond the options of its runtime. */
  readonly options?: Any;
  /** Path of the network namespace that it joins; '' for none. */
  readonly netns: string;
  readonly annotations: Labels;
}

/** Names a sandbox that is, or was, run. */
export interface SandboxRef {
  readonly namespace: string;
  readonly id: string;
}

export interface StartedSandbox {
  /** 0 where a sandbox is no process. */
  readonly pid: number;
  readonly createdAt?: Date;
  readonly labels: Labels;
  /** Where it serves the task API (`ttrpc+unix://PATH`), and that API's version. */
  readonly address: string;
  readonly version: number;
  /** What became of the spec that it was given. */
  readonly spec?: Any;
}

export interface SandboxStatus {
  readonly pid: number;
  /** In the sandboxer's words; ours are those of CRI: `SANDBOX_READY`, `SANDBOX_NOTREADY`. */
  readonly state: string;
  readonly info: Labels;
  readonly createdAt?: Date;
  readonly exitedAt?: Date;
  readonly extra?: Any;
  readonly address: string;
  readonly version: number;
}

export interface SandboxExit {
  readonly status: number;
  readonly at: Date;
}

export interface SandboxMetric {
  readonly id: string;
  readonly at?: Date;
  readonly data?: Any;
}

/**
 * Runs sandboxes. What it runs outlives the daemon. Every implementation passes `core/suites/sandboxer.ts`. Of a sandbox
 * that is not there, `wait`, `platform`, `metrics` and `shutdown` say not-found, `start` fails, and `status` is empty.
 */
export interface Sandboxer {
  /** already-exists when there is one of that id. Leaves nothing behind when it fails. */
  create(request: CreateSandbox, signal: AbortSignal): Promise<void>;
  start(ref: SandboxRef, signal: AbortSignal): Promise<StartedSandbox>;
  /** What containers in it are made for. */
  platform(ref: SandboxRef, signal: AbortSignal): Promise<Platform>;
  /** Ends it, by force after `seconds`, at once with 0. Idempotent; that it is not there is no error. */
  stop(ref: SandboxRef, seconds: number, signal: AbortSignal): Promise<void>;
  /** Resolves when it has ended; at once when it has already. */
  wait(ref: SandboxRef, signal: AbortSignal): Promise<SandboxExit>;
  /** `verbose` asks for `info`. */
  status(ref: SandboxRef, verbose: boolean, signal: AbortSignal): Promise<SandboxStatus>;
  /** Ends it if need be, and removes whatever there is of it. */
  shutdown(ref: SandboxRef, signal: AbortSignal): Promise<void>;
  /** Undefined when there is nothing to measure. */
  metrics(ref: SandboxRef, signal: AbortSignal): Promise<SandboxMetric | undefined>;
  /** Tells of a change of the sandbox; `fields` as in a field mask. */
  update(ref: SandboxRef, sandbox: SandboxPlan, fields: readonly string[], signal: AbortSignal): Promise<void>;
  /** After the daemon's start: removes what was half made, and what nobody could name any more. */
  reconcile?(known: (ref: SandboxRef) => boolean, signal: AbortSignal): Promise<void>;
}
