import { EPOLLIN } from '#sys/epoll.ts';
import { closeFd } from '#sys/fd.ts';
import { OffsetFile, splice } from '#sys/splice.ts';
import { Input } from './input.ts';
import { JsonLog } from './json-log.ts';
import type { FromPump, InputPlan, ProcessPlan } from './messages.ts';
import { Output } from './output.ts';
import type { Reactor } from './reactor.ts';

/** A client that reads nothing for so many milliseconds is waited for no longer. */
const patience = 2000;
/** How often it is looked how far clients have read, in ms. */
const readingInterval = 5;

/** Moves everything that one process reads and writes. */
export class ProcessPump {
  readonly #reactor: Reactor;
  readonly #offsets: OffsetFile;
  readonly #log: JsonLog | undefined;
  readonly #outputs: Output[] = [];
  readonly #onInputClosed: () => void;
  #input: Input | undefined;
  #terminal: { readonly master: number; readonly fifo: number } | undefined;
  #terminalWatched = false;
  /** Who waits for the outputs to end. */
  readonly #drains = new Set<() => void>();
  #onSinks: (() => void) | undefined;
  #closed = false;

  constructor(reactor: Reactor, plan: ProcessPlan, post: (message: FromPump) => void) {
    this.#reactor = reactor;
    this.#offsets = new OffsetFile(plan.offsets);
    this.#log = plan.log === undefined ? undefined : new JsonLog(plan.log, this.#offsets);
    for (const output of plan.outputs) {
      const onSinkClosed = (): void => {
        post({ type: 'sink-closed', key: plan.key, stream: output.stream });
        this.#onSinks?.();
      };
      this.#outputs.push(
        new Output({
          reactor: this.#watching(),
          plan: output,
          offsets: this.#offsets,
          log: this.#log,
          onSinkClosed,
          onResumed: () => this.#watchTerminal(),
        }),
      );
    }
    this.#onInputClosed = () => post({ type: 'input-closed', key: plan.key });
    if (plan.terminal !== undefined) {
      this.#terminal = plan.terminal;
      this.#watchTerminal();
    }
  }

  /** The reactor as the outputs see it: after each of their events it is looked whether all have ended. */
  #watching(): Reactor {
    const reactor = this.#reactor;
    const proxy: Pick<Reactor, 'add' | 'remove' | 'later' | 'onOpen' | 'forgetOpen' | 'warn'> = {
      add: (fd, events, handler) =>
        reactor.add(fd, events, (got) => {
          handler(got);
          this.#settle();
        }),
      remove: (fd) => reactor.remove(fd),
      later: (milliseconds, callback) => reactor.later(milliseconds, callback),
      onOpen: (path, fd, callback) => reactor.onOpen(path, fd, callback),
      forgetOpen: (fd) => reactor.forgetOpen(fd),
      warn: (message) => reactor.warn(message),
    };
    return proxy as Reactor;
  }

  #watchTerminal(): void {
    const terminal = this.#terminal;
    if (terminal === undefined || this.#terminalWatched) return;
    this.#terminalWatched = true;
    this.#reactor.add(terminal.master, EPOLLIN, () => {
      this.#takeTerminal();
      // The terminal's own buffer then stops the container; `onResumed` goes on.
      if (this.#outputs[0]?.paused === true) this.#unwatchTerminal();
    });
  }

  #unwatchTerminal(): void {
    if (!this.#terminalWatched) return;
    this.#terminalWatched = false;
    this.#reactor.remove(this.#terminal!.master);
  }

  /** Moves what there is, up to a pipe's worth. */
  #takeTerminal(): void {
    const terminal = this.#terminal;
    if (terminal === undefined) return;
    const got = splice(terminal.master, null, terminal.fifo, null, 64 * 1024);
    this.#outputs[0]?.pump();
    // EIO is how a pty says that its last other side is closed.
    if (got === 0 || (typeof got === 'string' && got !== 'EAGAIN')) this.#endTerminal();
  }

  #endTerminal(): void {
    const terminal = this.#terminal;
    if (terminal === undefined) return;
    this.#unwatchTerminal();
    this.#terminal = undefined;
    closeFd(terminal.master);
    // The FIFO's reader sees the end now and settles by it.
    closeFd(terminal.fifo);
  }

  #settle(): void {
    if (!this.#outputs.every((output) => output.ended)) return;
    const drains = [...this.#drains];
    this.#drains.clear();
    for (const done of drains) done();
  }

  /**
   * Calls `done` when all output is in the spool and the log, or after `grace` ms when somebody keeps the pipe open, and
   * clients who read have read it: `ctr` 1.6 does not read on once it has heard of the exit.
   */
  drain(grace: number, done: () => void): void {
    // While paused nobody else looks at the terminal: what is left in it, and that it has ended.
    for (let left = 64; left > 0 && this.#terminal !== undefined && !this.#terminalWatched; left -= 1)
      this.#takeTerminal();
    for (const output of this.#outputs) output.pump();
    const cancel = this.#reactor.later(grace, () => {
      if (!this.#drains.delete(settled)) return;
      for (const output of this.#outputs) output.pump();
      this.#awaitReaders(done);
    });
    const settled = (): void => {
      cancel();
      this.#awaitReaders(done);
    };
    this.#drains.add(settled);
    this.#settle();
  }

  /** Calls `done` when clients have read what is there now, or have stopped reading. */
  #awaitReaders(done: () => void): void {
    if (this.#closed) return done();
    const goals = this.#outputs.map((output) => output.length);
    const progress = (): string => this.#outputs.map((output) => output.read).join(' ');
    let before = progress();
    let since = performance.now();
    const look = (): void => {
      if (this.#closed || this.#outputs.every((output, i) => output.read >= goals[i]!)) return done();
      const now = progress();
      if (now !== before) since = performance.now();
      else if (performance.now() - since > patience) return done();
      before = now;
      this.#reactor.later(readingInterval, look);
    };
    look();
  }

  openInput(plan: InputPlan): void {
    this.#input = new Input(this.#reactor, plan, this.#onInputClosed);
  }

  closeInput(done: () => void): void {
    if (this.#input === undefined) done();
    else this.#input.finish(done);
  }

  /** Ends everything but what clients are still owed; that for so many milliseconds more. */
  leave(lingering: number, gone: () => void): void {
    this.#input?.close();
    if (this.#terminal !== undefined) {
      this.#takeTerminal();
      this.#endTerminal();
    }
    for (const output of this.#outputs) output.stop();
    const finish = (): void => {
      this.#onSinks = undefined;
      cancel();
      this.close();
      gone();
    };
    const cancel = this.#reactor.later(lingering, finish);
    this.#onSinks = (): void => {
      if (!this.#outputs.some((output) => output.owes)) finish();
    };
    this.#onSinks();
  }

  close(): void {
    this.#closed = true;
    this.#onSinks = undefined;
    this.#input?.close();
    this.#endTerminal();
    for (const output of this.#outputs) output.close();
    this.#log?.close();
    this.#offsets.close();
    this.#settle();
  }
}
