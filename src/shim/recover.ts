import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { closeFd } from '#sys/fd.ts';
import { exitOf, pidfdOpen, statusOfWait } from '#sys/pidfd.ts';
import { isAlive, processStat } from '#sys/process.ts';
import { readExits } from '#sys/exits.ts';
import type { Pump } from './pump/pump.ts';
import { readRecord } from './record.ts';
import { Task, type TaskProcess } from './task.ts';
import type { Tasks } from './tasks.ts';

/** What a process is reported to have ended with when nobody knows. */
const lost = 255;

export interface RecoverParts {
  readonly tasks: Tasks;
  readonly pump: Pump;
  readonly logger: Logger;
  /** Where bundles are: `<namespace>/<id>` below each of them. */
  readonly bundles: readonly string[];
  readonly inherited: ReadonlyMap<string, number>;
  readonly exitsFile: string;
}

/** Takes up every task that an earlier shim left in its bundle, and removes what it left half made. */
export async function recover(parts: RecoverParts): Promise<void> {
  const used = new Set<string>();
  for (const bundle of parts.bundles.flatMap(bundlesIn)) {
    try {
      await recoverTask(parts, bundle, used);
    } catch (error) {
      parts.logger.log('error', 'task could not be taken up', { bundle, error: messageOf(error) });
    }
  }
  const { link } = parts.tasks.taskParts();
  for (const [key, fd] of parts.inherited) {
    if (used.has(key.slice(0, key.lastIndexOf('#')))) continue;
    link.drop(key);
    closeFd(fd);
  }
}

function bundlesIn(directory: string): string[] {
  const list = (where: string): string[] => {
    try {
      return readdirSync(where).map((name) => path.join(where, name));
    } catch {
      return [];
    }
  };
  return list(directory).flatMap(list);
}

async function recoverTask(parts: RecoverParts, bundle: string, used: Set<string>): Promise<void> {
  const record = readRecord(bundle);
  if (record === undefined || record.phase === 'deleted') return;
  const task = new Task(record, parts.tasks.taskParts());
  if (record.phase === 'creating') {
    parts.logger.log('warn', 'removing a task that was not finished', { bundle });
    return task.abandon();
  }
  settleStarted(task);
  for (const process of task.processes()) {
    settleStarting(task, process);
    used.add(process.record.key);
    const { status, exit } = process.record;
    const neverBegan = process !== task.init && status === 'created';
    if (neverBegan) continue;
    process.stdio.recover(parts.inherited);
    await process.stdio.begin();
    if (status === 'running') process.stdio.openInput();
    if (status === 'stopped') parts.tasks.end(task, process, exit ?? { status: lost, at: Date.now() });
    else follow(parts, task, process);
  }
  parts.tasks.adopt(task);
  task.watchMemory();
  task.save();
}

/** A first process that was let run by a shim that died before it wrote so: what it waited for is gone. */
function settleStarted(task: Task): void {
  const { runtime, id, init } = task.record;
  const directory = path.join(runtime.root, id);
  if (init.status === 'created' && existsSync(directory) && !existsSync(path.join(directory, 'exec.fifo')))
    init.status = 'running';
}

/** An exec whose start was cut short: the runtime has written a pid by now, or it never came to anything. */
function settleStarting(task: Task, process: TaskProcess): void {
  const { record } = process;
  if (record.status !== 'starting') return;
  try {
    record.pid = Number(readFileSync(task.execPidFile(record.execId), 'utf8'));
    record.startTime = processStat(record.pid)?.startTime ?? 0;
    record.status = 'running';
  } catch {
    record.status = 'stopped';
    record.exit = { status: lost, at: Date.now() };
  }
}

/** Finds out how a process stands, and sees to it that its end is heard of. */
function follow(parts: RecoverParts, task: Task, child: TaskProcess): void {
  const { pid, startTime } = child.record;
  const known = readExits(parts.exitsFile).findLast(
    (exit) => exit.pid === pid && (exit.startTime === startTime || startTime === 0),
  );
  if (known !== undefined) return parts.tasks.end(task, child, known);
  const stat = processStat(pid);
  const same = stat !== undefined && (stat.startTime === startTime || startTime === 0);
  // The keeper is its parent and will tell.
  if (same && stat.parent === process.ppid) return;
  if (same && isAlive(pid, stat.startTime)) void watch(parts, task, child);
  else void hear(parts, task, child);
}

/** The keeper died before the process; a daemon that held its pidfd writes down how it ended. */
async function hear(parts: RecoverParts, task: Task, child: TaskProcess): Promise<void> {
  const { pid, startTime } = child.record;
  for (let tries = 0; tries < 50; tries += 1) {
    const told = readExits(parts.exitsFile).findLast((exit) => exit.pid === pid && exit.startTime === startTime);
    if (told !== undefined) return parts.tasks.end(task, child, told);
    await sleep(100);
  }
  parts.logger.log('warn', 'nobody knows how a process ended', { id: task.record.id, pid });
  parts.tasks.end(task, child, { status: lost, at: Date.now() });
}

/** Waits for a process that is nobody's child of ours: its keeper has died. */
async function watch(parts: RecoverParts, task: Task, child: TaskProcess): Promise<void> {
  const { pid } = child.record;
  const pidfd = pidfdOpen(pid);
  try {
    await parts.pump.watch(pidfd);
    const at = Date.now();
    parts.tasks.end(task, child, { status: (await exitStatus(pid, pidfd)) ?? lost, at });
  } finally {
    closeFd(pidfd);
  }
}

/** A zombie shows its status; once reaped the pidfd does. Its parent may be slow to reap. */
async function exitStatus(pid: number, pidfd: number): Promise<number | undefined> {
  for (let tries = 0; tries < 50; tries += 1) {
    const stat = processStat(pid);
    if (stat?.state === 'Z') return statusOfWait(stat.exitCode);
    const status = exitOf(pidfd);
    if (status !== undefined) return status;
    await sleep(50);
  }
  return undefined;
}
