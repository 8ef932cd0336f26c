import { appendFileSync, closeSync, existsSync, openSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { eventfd, inotify, inotifyAdd } from '#sys/epoll.ts';
import { closeFd, readFd, writeFd } from '#sys/fd.ts';
import { readOptional } from './cgroups.ts';
import type { Pump } from './pump/pump.ts';

const IN_MODIFY = 2;

/** In a bundle, for our daemon: a byte for each time that the container was out of memory. */
export const oomFile = 'oom';
export const wasOom = (bundle: string): boolean => existsSync(path.join(bundle, oomFile));

export function noteOom(bundle: string): void {
  try {
    appendFileSync(path.join(bundle, oomFile), '.', { mode: 0o600 });
  } catch {
    // The bundle has gone, and with it who wanted to know.
  }
}

/** How many processes of a cgroup the kernel has killed for want of memory: the same line in both versions' files. */
export function oomKills(memory: string): number {
  const text =
    readOptional(path.join(memory, 'memory.oom_control')) || readOptional(path.join(memory, 'memory.events'));
  return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
}

/** Tells when a cgroup is out of memory, for as long as there is the cgroup. */
export class OomWatch {
  readonly #memory: string;
  readonly #onOom: () => void;
  /** An eventfd, or version 2's inotify descriptor. */
  readonly #fd: number;
  readonly #buffer = new Uint8Array(4096);
  readonly #file: string;
  /** Version 1. */
  readonly #old: boolean;
  #kills = 0;
  #stopped = false;

  /** Throws where the kernel cannot tell. */
  constructor(memory: string, pump: Pump, onOom: () => void) {
    this.#memory = memory;
    this.#onOom = onOom;
    this.#old = existsSync(path.join(memory, 'cgroup.event_control'));
    this.#file = path.join(memory, this.#old ? 'cgroup.event_control' : 'memory.events');
    this.#fd = this.#old ? this.#register() : inotify();
    if (!this.#old) inotifyAdd(this.#fd, this.#file, IN_MODIFY);
    this.#kills = oomKills(memory);
    void this.#follow(pump);
  }

  /** Version 1 signals an eventfd (memory.rst, "OOM Control"). */
  #register(): number {
    const fd = eventfd();
    const control = openSync(path.join(this.#memory, 'memory.oom_control'), 'r');
    try {
      writeFileSync(this.#file, `${fd} ${control}`);
      return fd;
    } catch (error) {
      closeFd(fd);
      throw error;
    } finally {
      closeSync(control);
    }
  }

  async #follow(pump: Pump): Promise<void> {
    for (;;) {
      await pump.watch(this.#fd);
      readFd(this.#fd, this.#buffer);
      // The end of a cgroup is signalled, too.
      if (this.#stopped || !existsSync(this.#file)) break;
      // Version 1 tells before it has chosen whom to kill; version 2 tells also of limits that were only reached.
      const kills = this.#old ? Infinity : oomKills(this.#memory);
      if (kills > this.#kills) this.#onOom();
      if (!this.#old) this.#kills = kills;
    }
    this.#stopped = true;
    closeFd(this.#fd);
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    // Wakes who waits for it; an inotify descriptor is woken by the end of the cgroup.
    writeFd(this.#fd, new Uint8Array(new BigUint64Array([1n]).buffer));
  }
}
