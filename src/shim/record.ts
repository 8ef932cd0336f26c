import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { RuntimeChoice } from './oci-runtime.ts';

/** What a client asked to be a process's standard streams. */
export interface StdioRequest {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
}

export interface ProcessRecord {
  readonly execId: string;
  /** Names this process to pump and keeper, and no other one ever after. */
  readonly key: string;
  readonly stdio: StdioRequest;
  pid: number;
  /** Ticks since boot, against reused pids. */
  startTime: number;
  status: 'created' | 'starting' | 'running' | 'stopped';
  exit?: { readonly status: number; readonly at: number };
}

/** All that the next shim must know of a task. Kept as JSON in its bundle. */
export interface TaskRecord {
  readonly version: 1;
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  readonly runtime: RuntimeChoice;
  /** Path of the log records, when any are kept. */
  readonly log?: string;
  /** True when we mounted `rootfs`. */
  readonly mounted: boolean;
  phase: 'creating' | 'alive' | 'deleted';
  paused: boolean;
  /** False when the container shares its process namespace, so that its other processes outlive the first. */
  readonly ownProcesses: boolean;
  /** The container's directories under /sys/fs/cgroup: one for each controller, or the only one. */
  cgroups: Readonly<Record<string, string>>;
  readonly init: ProcessRecord;
  readonly execs: Record<string, ProcessRecord>;
}

export const recordFile = 'shim-state.json';

/** Writes the record so that a reader sees the old one or the new one, never half of it. */
export function writeRecord(record: TaskRecord): void {
  const file = path.join(record.bundle, recordFile);
  writeFileSync(`${file}.new`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** undefined when the bundle has none: its task was never begun, or is gone. */
export function readRecord(bundle: string): TaskRecord | undefined {
  let text: string;
  try {
    text = readFileSync(path.join(bundle, recordFile), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return JSON.parse(text) as TaskRecord;
}

export function removeRecord(bundle: string): void {
  rmSync(path.join(bundle, recordFile), { force: true });
}
