import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '#base/errors.ts';
import { closeFd } from '#sys/fd.ts';
import { tryFlock } from '#sys/flock.ts';
import { descriptorOf } from '#sys/pidfd.ts';
import { becomeSubreaper, peekEnded, processStat, reap } from '#sys/process.ts';
import { listenUnix } from '#sys/socket.ts';
import { ExitsFile, formatExit, type ReapedProcess } from '#sys/exits.ts';
import { onLines } from './lines.ts';
import { stderrLogger } from './log.ts';

const logger = stderrLogger('keeper');

export interface KeeperOptions {
  readonly directory: string;
  /** Starts the shim: program and arguments. */
  readonly command: readonly [string, ...string[]];
}

/** Descriptors of the shim as the keeper starts it; what the keeper holds for it follows. */
export const shimFds = { link: 3, listener: 4, firstHeld: 5 } as const;

/**
 * Parent of the shim and of every orphan below it. It reaps, writes exits down, holds descriptors that must not close
 * and starts the shim again when it dies. It listens to nobody but the shim, and speaks lines with it:
 * `hold TICKET FD KEY`, `drop KEY`, `ack COUNT`, `ready`, `bye` there, `held [KEY…]`, `holding TICKET ok|ERROR`, `exit …` back.
 */
class Keeper {
  readonly #options: KeeperOptions;
  readonly #listener: number;
  readonly #exits: ExitsFile;
  readonly #held = new Map<string, number>();
  #shim: ChildProcess | undefined;
  #link: Socket | undefined;
  #unacknowledged = 0;
  #leaving = false;
  #ready = false;
  /** Shims in a row that did not get as far as serving, or not for long. */
  #failures = 0;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#exits = new ExitsFile(path.join(options.directory, 'exits'));
    const socket = path.join(options.directory, 'shim.sock');
    rmSync(socket, { force: true });
    this.#listener = listenUnix(socket);
  }

  start(): void {
    const [program, ...parameters] = this.#options.command;
    const started = performance.now();
    // What an earlier shim did not acknowledge is in the file, which the new one reads before anything else.
    this.#unacknowledged = 0;
    const keys = [...this.#held.keys()];
    const shim = spawn(program, parameters, {
      cwd: '/',
      stdio: ['ignore', 'inherit', 'inherit', 'pipe', this.#listener, ...this.#held.values()],
    });
    this.#shim = shim;
    const link = shim.stdio[shimFds.link] as Socket;
    this.#link = link;
    link.on('error', (error) => logger.log('debug', 'link failed', { error: error.message }));
    onLines(link, (line) => this.#take(line));
    link.write(`held ${keys.join(' ')}\n`);
    shim.on('error', (error) => logger.log('error', 'shim cannot be started', { error: error.message }));
    shim.on('close', (code, signal) => void this.#shimEnded(code, signal, performance.now() - started));
    shim.on('exit', () => this.reapAll());
  }

  async #shimEnded(code: number | null, signal: string | null, lived: number): Promise<void> {
    if (this.#leaving && code === 0) return this.#leave();
    this.#leaving = false;
    this.#failures = lived > 5000 ? 0 : this.#failures + (this.#ready ? 0.2 : 1);
    this.#ready = false;
    logger.log('warn', 'shim ended and is started again', { code, signal, lived: Math.round(lived) });
    // At once as a rule, since containers' output waits in their pipes, but not for ever in a circle.
    if (this.#failures > 2) await sleep(Math.min(5000, 50 * 2 ** this.#failures));
    this.start();
  }

  #leave(): void {
    // Unlinked before it is closed: whoever connects later finds nobody and starts the next keeper.
    rmSync(path.join(this.#options.directory, 'shim.sock'), { force: true });
    closeFd(this.#listener);
    process.exit(0);
  }

  #take(line: string): void {
    const [verb, first, second, third] = line.split(' ');
    if (verb === 'hold') this.#hold(first!, Number(second), third!);
    else if (verb === 'drop') this.#drop(first!);
    else if (verb === 'ack') this.#acknowledge(Number(first));
    else if (verb === 'ready') this.#ready = true;
    else if (verb === 'bye') this.#leaving = true;
  }

  #hold(ticket: string, fd: number, key: string): void {
    try {
      const copy = descriptorOf(this.#shim!.pid!, fd);
      this.#drop(key);
      this.#held.set(key, copy);
      this.#link?.write(`holding ${ticket} ok\n`);
    } catch (error) {
      this.#link?.write(`holding ${ticket} ${messageOf(error).replaceAll('\n', ' ')}\n`);
    }
  }

  #drop(key: string): void {
    const fd = this.#held.get(key);
    if (fd === undefined) return;
    closeFd(fd);
    this.#held.delete(key);
  }

  #acknowledge(count: number): void {
    this.#unacknowledged = Math.max(0, this.#unacknowledged - count);
    if (this.#unacknowledged === 0) this.#exits.settled();
  }

  /** Reaps every orphan that has ended. The shim is libuv's: waiting for it here would steal it. */
  reapAll(): void {
    for (let ended = peekEnded(); ended !== undefined; ended = peekEnded()) {
      if (ended.pid === this.#shim?.pid) {
        // libuv reaps it in this turn of its loop; then we look again.
        setImmediate(() => this.reapAll());
        return;
      }
      const exit: ReapedProcess = { ...ended, startTime: processStat(ended.pid)?.startTime ?? 0, at: Date.now() };
      this.#exits.append(exit);
      reap(ended.pid);
      this.#unacknowledged += 1;
      this.#link?.write(`exit ${formatExit(exit)}\n`);
    }
  }
}

/** Runs until the shim says that nobody needs it any more. Only one keeper serves a directory: another ends at once. */
export async function runKeeper(options: KeeperOptions): Promise<void> {
  mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  let lock = tryFlock(path.join(options.directory, 'keeper.lock'));
  // A keeper that is leaving has said so by removing its socket, and is gone in a moment.
  for (let tries = 0; lock === undefined && tries < 20; tries += 1) {
    await sleep(50);
    lock = tryFlock(path.join(options.directory, 'keeper.lock'));
  }
  if (lock === undefined) {
    logger.log('info', 'another keeper serves this directory');
    return;
  }
  becomeSubreaper();
  const keeper = new Keeper(options);
  process.on('SIGCHLD', () => keeper.reapAll());
  // Terminals and service managers signal whole groups; containers must not lose their keeper by that.
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});
  keeper.start();
}
