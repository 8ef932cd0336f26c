import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { messageOf } from '#base/errors.ts';
import { EPOLLIN, EPOLLOUT } from '#sys/epoll.ts';
import { closeFd, pendingBytes } from '#sys/fd.ts';
import { splice, type OffsetFile } from '#sys/splice.ts';
import { giveBack, window } from './give-back.ts';
import { record, records, timestamp, type JsonLog } from './json-log.ts';
import type { OutputPlan, Sink } from './messages.ts';
import type { Reactor } from './reactor.ts';

/** What a client that comes back gets of what it missed. */
const backlog = 64 * 1024;
/**
 * A client that reads, but lags by more than this, slows the container down. Little, since `ctr` 1.6 reads no further
 * once it has heard of the exit: what a container could write ahead of it would be lost.
 */
const farthestLag = 1024 * 1024;
/** The same for who follows the spool itself; it is still there after the exit, so only its size counts. */
const farthestFollower = 64 * 1024 * 1024;
/** How often it is looked whether a follower has read on or left, in ms: there is no event for it. */
const followingInterval = 20;
/** How often it is looked whether a client has taken the last bytes out of its FIFO, in ms: there is no event for it. */
const emptyingInterval = 5;

/** The most that a pipe holds by default (fs.pipe-max-size), for taking all that is there. */
const fullPipe = 1024 * 1024;
/** What is moved before other streams have their turn: one that is written to without end must not hold up the rest. */
const turn = 64 * 1024;
const scratch = Buffer.allocUnsafe(256 * 1024);

/** Moves one stream of a process: FIFO to spool, spool to log and to the client's FIFO. */
export class Output {
  readonly #reactor: Reactor;
  readonly #plan: OutputPlan;
  readonly #offsets: OffsetFile;
  readonly #log: JsonLog | undefined;
  readonly #number: 0 | 1;
  readonly #spool: number;
  readonly #onSinkClosed: () => void;
  readonly #onResumed: () => void;
  /** Slots in the offset file: the spool's length, what the sink has, what was given back. */
  readonly #slots: { readonly length: number; readonly sink: number; readonly freed: number };
  #source: number | undefined;
  #sink: Sink | undefined;
  #sinkWaits: 'no' | 'writable' | 'reader' | 'emptying' = 'no';
  #wasConnected = false;
  #followerLags = false;
  #pending: Buffer = Buffer.alloc(0);
  #scanned: number;
  /** The source has ended: a last line without a newline is a record too. */
  #logWhole = false;
  /** The log could not be written, and is tried again in a while. */
  #logWaits = false;
  #paused = false;
  #closed = false;

  constructor(parts: {
    reactor: Reactor;
    plan: OutputPlan;
    offsets: OffsetFile;
    log: JsonLog | undefined;
    onSinkClosed: () => void;
    /** No longer `paused`. */
    onResumed: () => void;
  }) {
    const { reactor, plan, offsets, log } = parts;
    this.#reactor = reactor;
    this.#plan = plan;
    this.#offsets = offsets;
    this.#log = log;
    this.#onSinkClosed = parts.onSinkClosed;
    this.#onResumed = parts.onResumed;
    this.#number = plan.stream === 'stdout' ? 0 : 1;
    const base = this.#number * 4;
    this.#slots = { length: base, sink: base + 1, freed: base + 2 };
    this.#spool = openSync(plan.spool, 'r+');
    // The file is the truth: the offset is stored by the same splice(2), but a pump may have died before its first.
    offsets.set(this.#slots.length, fstatSync(this.#spool).size);
    this.#scanned = log?.covered[this.#number] ?? 0;
    this.#source = plan.source;
    this.#sink = plan.sink;
    reactor.add(plan.source, EPOLLIN, (events) => this.#onSource(events));
    this.#consume();
  }

  /** True once the source has ended and everything is in the spool and in the log. */
  get ended(): boolean {
    return this.#source === undefined;
  }

  /** True while a client is still owed bytes. */
  get owes(): boolean {
    return this.#sink !== undefined;
  }

  /** How much there is for clients. */
  get length(): number {
    return this.#length;
  }

  /** How much the client has read; Infinity when nobody reads, so that nobody is to be waited for. */
  get read(): number {
    const sink = this.#sink;
    if (sink === undefined || this.#sinkWaits === 'reader') return Infinity;
    return this.#offsets.get(this.#slots.sink) - (sink.kind === 'fifo' ? pendingBytes(sink.fd) : 0);
  }

  get #length(): number {
    return this.#offsets.get(this.#slots.length);
  }

  /** True while the container has to wait for a reader, or for room on the disk. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Takes what is there, also while paused. Never blocks. */
  pump(): void {
    if (this.#source !== undefined) this.#onSource(0, fullPipe);
  }

  /** Moves up to `most` bytes; while there are more, the reactor calls again. */
  #onSource(events: number, most = turn): void {
    if (this.#source === undefined) return;
    for (let left = most; left > 0;) {
      const got = splice(this.#source, null, this.#spool, this.#offsets.pointer(this.#slots.length), left);
      if (got === 'EAGAIN') break;
      if (got === 0) {
        // Nothing and no writer: the end, if the kernel says that there was one (EPOLLHUP).
        if ((events & ~EPOLLIN) !== 0) this.#endSource();
        break;
      }
      if (typeof got === 'string') {
        this.#reactor.warn(`spool "${this.#plan.spool}" takes no more (${got}); the container waits`);
        this.#pause(1000);
        break;
      }
      left -= got;
      this.#consume();
      if (this.#lags()) {
        this.#pause(0);
        // The last of it (`pump`) fits into a pipe and is taken, whoever lags.
        if (most === turn) break;
      }
    }
    this.#consume();
  }

  #lags(): boolean {
    if (this.#followerLags) return true;
    return this.#sinkWaits === 'writable' && this.#length - this.#offsets.get(this.#slots.sink) > farthestLag;
  }

  /** Stops reading; the container blocks when its pipe is full. Goes on after `retry` ms, or when the client has caught up. */
  #pause(retry: number): void {
    if (this.#paused || this.#source === undefined) return;
    this.#paused = true;
    this.#reactor.remove(this.#source);
    if (retry > 0) this.#reactor.later(retry, () => this.#resume());
  }

  #resume(): void {
    if (!this.#paused || this.#source === undefined) return;
    this.#paused = false;
    this.#reactor.add(this.#source, EPOLLIN, (events) => this.#onSource(events));
    this.#onResumed();
  }

  #endSource(): void {
    if (this.#source === undefined) return;
    if (!this.#paused) this.#reactor.remove(this.#source);
    closeFd(this.#source);
    this.#source = undefined;
    this.#format(true);
    this.#feed();
    // The last reader left before the end: nobody is owed anything.
    if (this.#sinkWaits === 'reader' && this.#wasConnected) this.closeSink();
  }

  #consume(): void {
    this.#format(false);
    this.#feed();
    this.#giveBack();
  }

  /** Formats whole lines from the spool; with `all` also the last one without a newline. */
  #format(all: boolean): void {
    this.#logWhole ||= all;
    if (this.#log === undefined || this.#closed || this.#logWaits) return;
    const length = this.#length;
    try {
      while (this.#scanned < length) {
        const got = readSync(this.#spool, scratch, 0, Math.min(scratch.length, length - this.#scanned), this.#scanned);
        if (got === 0) break;
        const bytes = Buffer.concat([this.#pending, scratch.subarray(0, got)]);
        this.#append(bytes, this.#scanned + got);
      }
      if (this.#logWhole && this.#pending.length > 0) {
        this.#log.append(record(this.#pending, this.#plan.stream, timestamp()), this.#number, this.#scanned);
        this.#pending = Buffer.alloc(0);
      }
    } catch (error) {
      // Not with every piece of output: a full disk must not be filled with complaints.
      this.#reactor.warn(`log of "${this.#plan.spool}" cannot be written, trying again: ${messageOf(error)}`);
      this.#pending = Buffer.alloc(0);
      this.#scanned = this.#log.covered[this.#number];
      this.#logWaits = true;
      this.#reactor.later(1000, () => {
        this.#logWaits = false;
        this.#format(false);
        this.#giveBack();
      });
    }
  }

  /** `bytes` are all that is not in the log yet, up to the offset `end`. */
  #append(bytes: Buffer, end: number): void {
    const { text, rest } = records(bytes, this.#plan.stream, timestamp());
    if (text !== '') this.#log!.append(text, this.#number, end - (bytes.length - rest));
    this.#scanned = end;
    this.#pending = Buffer.from(bytes.subarray(rest));
  }

  /** Gives the client what it has not had; it may be slow, gone, or not there yet. */
  #feed(): void {
    const sink = this.#sink;
    if (sink === undefined || this.#sinkWaits !== 'no') return;
    if (sink.kind === 'file') return this.#feedFile(sink);
    const { sink: slot } = this.#slots;
    while (this.#offsets.get(slot) < this.#length) {
      const got = splice(
        this.#spool,
        this.#offsets.pointer(slot),
        sink.fd,
        null,
        this.#length - this.#offsets.get(slot),
      );
      if (got === 'EAGAIN') return this.#waitForRoom(sink);
      if (typeof got === 'string') return this.#waitForReader(sink);
      if (got === 0) break;
      this.#wasConnected = true;
    }
    if (this.#source === undefined) this.#endSink(sink);
  }

  /** The client has been given everything: lets go of its FIFO once it is empty, or nobody reads it any more. */
  #endSink(sink: Sink): void {
    if (pendingBytes(sink.fd) === 0) return this.closeSink();
    this.#sinkWaits = 'emptying';
    // Asked for nothing, epoll still tells of EPOLLERR: the last reader has left.
    this.#reactor.add(sink.fd, 0, () => this.closeSink());
    const look = (): void => {
      if (this.#sink !== sink) return;
      if (pendingBytes(sink.fd) === 0) this.closeSink();
      else this.#reactor.later(emptyingInterval, look);
    };
    this.#reactor.later(emptyingInterval, look);
  }

  #feedFile(sink: Sink): void {
    const { sink: slot } = this.#slots;
    try {
      for (let at = this.#offsets.get(slot); at < this.#length; this.#offsets.set(slot, at)) {
        const got = readSync(this.#spool, scratch, 0, Math.min(scratch.length, this.#length - at), at);
        for (let done = 0; done < got;) done += writeSync(sink.fd, scratch, done, got - done);
        at += got;
      }
    } catch (error) {
      this.#reactor.warn(`output file "${sink.path}" cannot be written: ${messageOf(error)}`);
      this.closeSink();
      return;
    }
    if (this.#source === undefined) this.closeSink();
  }

  #waitForRoom(sink: Sink): void {
    this.#sinkWaits = 'writable';
    this.#wasConnected = true;
    this.#reactor.add(sink.fd, EPOLLOUT, () => {
      this.#reactor.remove(sink.fd);
      this.#sinkWaits = 'no';
      this.#feed();
      // Its client had gone, and nobody else was owed anything: all is closed, the offsets too.
      if (this.#closed) return;
      if (!this.#lags()) this.#resume();
      this.#giveBack();
    });
  }

  /** Nobody reads the FIFO. Whoever opens it wakes us; after the end only one who never came is waited for. */
  #waitForReader(sink: Sink): void {
    if (this.#source === undefined && this.#wasConnected) return this.closeSink();
    this.#sinkWaits = 'reader';
    this.#reactor.onOpen(sink.path, sink.fd, () => {
      if (this.#sink !== sink || this.#sinkWaits !== 'reader') return;
      this.#sinkWaits = 'no';
      const { sink: slot } = this.#slots;
      if (this.#wasConnected) this.#offsets.set(slot, Math.max(this.#offsets.get(slot), this.#length - backlog));
      this.#feed();
    });
  }

  /** Gives disk back that everyone has had, but for the last of it. */
  #giveBack(): void {
    if (this.#closed) return;
    const { sink: slot, freed } = this.#slots;
    let had = this.#length - window;
    if (this.#log !== undefined) had = Math.min(had, this.#log.covered[this.#number]);
    if (this.#sink !== undefined) {
      if (this.#sinkWaits === 'reader' && this.#offsets.get(slot) < had)
        this.#offsets.set(slot, this.#length - backlog);
      // What lies in the FIFO is still the spool's own pages (splice), so a FIFO's worth behind the client stays, too.
      had = Math.min(had, this.#offsets.get(slot) - window);
    }
    if (had - this.#offsets.get(freed) < window) return;
    const given = giveBack(this.#spool, this.#offsets.get(freed), had);
    this.#offsets.set(freed, given.freed);
    if (given.held < had && this.#length - given.held > farthestFollower) this.#awaitFollower();
  }

  /** Lets the container wait until whoever follows the spool has read on, or has left. */
  #awaitFollower(): void {
    if (this.#followerLags || this.#source === undefined) return;
    this.#followerLags = true;
    this.#reactor.later(followingInterval, () => {
      this.#followerLags = false;
      this.#giveBack();
      if (!this.#closed && !this.#lags()) this.#resume();
    });
  }

  closeSink(): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    this.#sink = undefined;
    if (this.#sinkWaits === 'writable' || this.#sinkWaits === 'emptying') this.#reactor.remove(sink.fd);
    if (this.#sinkWaits === 'reader') this.#reactor.forgetOpen(sink.fd);
    closeFd(sink.fd);
    this.#onSinkClosed();
  }

  /** Ends the source even if somebody still could write, after taking what is there. */
  stop(): void {
    this.pump();
    this.#endSource();
  }

  close(): void {
    if (this.#closed) return;
    this.stop();
    this.closeSink();
    this.#closed = true;
    closeSync(this.#spool);
  }
}
