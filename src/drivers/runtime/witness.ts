import { closeFd, O_NONBLOCK, O_RDONLY, tryOpenFd } from '#sys/fd.ts';
import { ExitsFile } from '#sys/exits.ts';
import { exitOf, pidfdOpen, statusOfWait } from '#sys/pidfd.ts';
import { processStat } from '#sys/process.ts';

interface Watched {
  readonly pid: number;
  readonly startTime: number;
  readonly pidfd: number;
  /** Read ends of the FIFOs it writes to, which keep what is in them while nobody else has them open. */
  readonly pipes: readonly number[];
}

/** How often and how many times the dead are looked for after a keeper was lost; some init processes reap seconds late. */
const pause = 100;
const looks = 40;

/**
 * Holds a pidfd of every process, so that how it ended can be told even if the keeper, its parent, is killed: the
 * kernel remembers it as long as the pidfd is open. What it finds goes into the keeper's own file of exits. It also
 * holds the FIFOs that the process writes to, and never reads: its last words wait there for the next shim.
 */
export class Witness {
  readonly #file: string;
  readonly #watched = new Map<string, Watched>();
  #timer: NodeJS.Timeout | undefined;

  /** `file` is the keeper's file of exits. */
  constructor(file: string) {
    this.#file = file;
  }

  /** Begins to watch a process; nothing happens when it has gone. */
  watch(key: string, pid: number, fifos: readonly string[]): void {
    if (pid === 0 || this.#watched.get(key)?.pid === pid) return;
    this.release(key);
    const stat = processStat(pid);
    if (stat === undefined) return;
    try {
      const pidfd = pidfdOpen(pid);
      const pipes = fifos.map((fifo) => tryOpenFd(fifo, O_RDONLY | O_NONBLOCK)).filter((fd) => typeof fd === 'number');
      this.#watched.set(key, { pid, startTime: stat.startTime, pidfd, pipes });
    } catch {
      // It has ended since, and its keeper knows how.
    }
  }

  /** Ends the watch of a process, and of those whose keys begin with its. */
  release(key: string): void {
    for (const [name, watched] of this.#watched) {
      if (name !== key && !name.startsWith(`${key}/`)) continue;
      letGo(watched);
      this.#watched.delete(name);
    }
  }

  /** The keeper is gone: writes down who has ended, and who does in the seconds until the next one has taken over. */
  testify(): void {
    clearTimeout(this.#timer);
    const told = new Set<string>();
    let left = looks;
    const look = (): void => {
      this.#tell(told);
      left -= 1;
      if (left > 0) this.#timer = setTimeout(look, pause).unref();
    };
    look();
  }

  #tell(told: Set<string>): void {
    for (const [key, { pid, startTime, pidfd }] of this.#watched) {
      if (told.has(key)) continue;
      const stat = processStat(pid);
      const same = stat !== undefined && stat.startTime === startTime;
      const status = same ? (stat.state === 'Z' ? statusOfWait(stat.exitCode) : undefined) : exitOf(pidfd);
      if (status === undefined) continue;
      told.add(key);
      const file = new ExitsFile(this.#file);
      file.append({ pid, startTime, status, at: Date.now() });
      file.close();
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const watched of this.#watched.values()) letGo(watched);
    this.#watched.clear();
  }
}

function letGo({ pidfd, pipes }: Watched): void {
  for (const fd of [pidfd, ...pipes]) closeFd(fd);
}
