import { chownSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import {
  closeFd,
  duplicate,
  makeFifo,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  openFd,
  pipe,
  setNonblocking,
} from '#sys/fd.ts';
import { resizePty } from '#sys/pty.ts';
import { openDirect, openInput, openInputFile, openSink, placeOf, type Place } from './client-stream.ts';
import { ConsoleSocket } from './console.ts';
import type { HeldFd, KeeperLink } from './link.ts';
import type { ChildStdio } from './oci-runtime.ts';
import { LogProgram } from './log-program.ts';
import type { OutputPlan, ProcessPlan, Sink } from './pump/messages.ts';
import type { Pump } from './pump/pump.ts';
import type { StdioRequest } from './record.ts';

export interface StdioParts {
  readonly pump: Pump;
  readonly link: KeeperLink;
  /** Directory for console sockets. */
  readonly directory: string;
  /** Names the process to pump and keeper: no spaces. */
  readonly key: string;
  /** Begins the path of every file that is made for the process. */
  readonly prefix: string;
  readonly request: StdioRequest;
  /**
   * Whether all output goes through a spool. Otherwise the client's standard output is the process's own, and only standard
   * error is spooled: OCI runtimes write there, too, what they also log when nothing comes of the process.
   */
  readonly spooled: boolean;
  /** Whose streams they are, for a program that logs them. */
  readonly owner: { readonly id: string; readonly namespace: string };
  readonly log?: string;
  readonly io?: { readonly uid: number; readonly gid: number };
}

type Stream = 'stdout' | 'stderr';

/** The standard streams of one process, from before its start to its removal. */
export class ProcessStdio {
  readonly #parts: StdioParts;
  readonly #held = new Map<string, HeldFd>();
  /** What the child inherits and we close once it has. */
  #childs: number[] = [];
  /** Clients' streams that the process writes to itself, kept open so that a late reader misses nothing. */
  #direct: number[] = [];
  #console: ConsoleSocket | undefined;
  #outputs: OutputPlan[] = [];
  /** The process's side of its input, and whose writing goes there. The client's side is opened by `openInput`. */
  #input: { readonly client: string | undefined; readonly to: number } | undefined;
  #inputOpen = false;
  #closeEarly = false;
  #terminal: { master: number; fifo: number } | undefined;
  #pumping = false;
  #program: LogProgram | undefined;

  constructor(parts: StdioParts) {
    this.#parts = parts;
  }

  /**
   * Throws when a client's stream is of no kind that we know, or not there. A client may take it away later. A terminal has
   * no stderr: clients name one that they have not made.
   */
  check(): void {
    const { stdin, stdout, stderr, terminal } = this.#parts.request;
    for (const stream of terminal ? [stdin, stdout] : [stdin, stdout, stderr]) placeOf(stream);
  }

  /** Path for `--console-socket`, when the process has a terminal. */
  get consoleSocket(): string | undefined {
    return this.#console?.path;
  }

  /** Opens everything that the runtime is to be started with. */
  async prepare(): Promise<ChildStdio> {
    const place = placeOf(this.#parts.request.stdout);
    if (place.kind === 'program') this.#program = await LogProgram.start(place, this.#parts.owner);
    return this.#prepare();
  }

  #prepare(): ChildStdio {
    const { request, spooled, directory } = this.#parts;
    this.check();
    if (request.terminal) {
      this.#console = new ConsoleSocket(directory);
      this.#openSpool('stdout', request.stdout);
      return ['ignore', 'ignore', 'ignore'];
    }
    const stdin = this.#openStdin(placeOf(request.stdin));
    if (!spooled) {
      const stderr = request.stderr === '' ? 'ignore' : this.#openSpool('stderr', request.stderr);
      return [stdin, this.#openDirect(request.stdout), stderr];
    }
    return [stdin, this.#openSpool('stdout', request.stdout), this.#openSpool('stderr', request.stderr)];
  }

  #openStdin(place: Place): number | 'ignore' {
    if (place.kind === 'none' || place.kind === 'program') return 'ignore';
    if (place.kind === 'file') return this.#child(openInputFile(place.path));
    const { read, write } = pipe();
    this.#child(read);
    setNonblocking(write);
    this.#hold('stdin', write);
    this.#input = { client: place.path, to: write };
    return read;
  }

  #openDirect(stream: string): number | 'ignore' {
    const place = placeOf(stream);
    const fd = place.kind === 'program' ? (this.#program?.take('stdout') ?? 'ignore') : openDirect(place);
    if (fd !== 'ignore') this.#direct.push(fd);
    return fd;
  }

  /** Makes FIFO and spool of a stream. Gives the end for the process, which it holds open both ways. */
  #openSpool(stream: Stream, client: string): number {
    const { prefix, io, request } = this.#parts;
    const fifo = `${prefix}${stream}.fifo`;
    const spool = `${prefix}${stream}`;
    makeFifo(fifo);
    writeFileSync(spool, '', { mode: 0o600 });
    if (io !== undefined) chownSync(fifo, io.uid, io.gid);
    const source = openFd(fifo, O_RDONLY | O_NONBLOCK);
    this.#hold(stream, source);
    const sink = this.#openSink(stream, placeOf(client));
    if (sink !== undefined) this.#hold(`sink-${stream}`, sink.fd);
    this.#outputs.push({ stream, source, spool, ...(sink === undefined ? {} : { sink }) });
    return request.terminal ? -1 : this.#child(openFd(fifo, O_RDWR));
  }

  #openSink(stream: Stream, place: Place): Sink | undefined {
    if (place.kind !== 'program') return openSink(place);
    const fd = this.#program?.take(stream);
    if (fd === undefined) return undefined;
    setNonblocking(fd);
    // To the pump a FIFO that nobody can open again.
    return { kind: 'fifo', path: '', fd };
  }

  #child(fd: number): number {
    this.#childs.push(fd);
    return fd;
  }

  #hold(name: string, fd: number): void {
    this.#held.set(name, this.#parts.link.hold(`${this.#parts.key}#${name}`, fd));
  }

  /** The runtime has been started: its descriptors are its own now. */
  spawned(): void {
    for (const fd of this.#childs) closeFd(fd);
    this.#childs = [];
  }

  /** The process is there: takes its terminal over and begins to move bytes. */
  async begin(): Promise<void> {
    const { pump, key, request, prefix, log } = this.#parts;
    if (this.#console !== undefined) {
      const master = this.#console.receive();
      this.#hold('master', master);
      this.#console.close();
      this.#console = undefined;
      this.#terminal = { master, fifo: openFd(`${prefix}stdout.fifo`, O_WRONLY | O_NONBLOCK) };
      const place = placeOf(request.stdin);
      if (place.kind === 'fifo') this.#input = { client: place.path, to: duplicate(master) };
    }
    await Promise.allSettled([...this.#held.values()].map((held) => held.held));
    if (this.#outputs.length === 0 && this.#input === undefined) return;
    this.#pumping = true;
    const plan: ProcessPlan = {
      key,
      offsets: `${prefix}offsets`,
      outputs: this.#outputs,
      ...(log === undefined ? {} : { log }),
      ...(this.#terminal === undefined
        ? {}
        : { terminal: { ...this.#terminal, master: duplicate(this.#terminal.master) } }),
    };
    pump.add(plan);
  }

  /**
   * Opens the client's side of the input. Not before the process is started: `ctr` can tell us of the end of its input
   * only once its task is made, and it does not come to that end while nobody has opened the FIFO.
   */
  openInput(): void {
    if (this.#input === undefined || this.#inputOpen || !this.#pumping) return;
    const { client, to } = this.#input;
    if (client === undefined) return;
    this.#parts.pump.input(this.#parts.key, { from: openInput(client), to });
    this.#inputOpen = true;
    if (this.#closeEarly) void this.closeStdin();
  }

  /** Nothing came of it: closes and removes all. */
  async failed(): Promise<void> {
    this.spawned();
    this.#console?.close();
    this.#console = undefined;
    await Promise.allSettled([...this.#held.values()].map((held) => held.held));
    // The pump closes what it was given; the terminal is closed with the rest below.
    for (const [name, held] of this.#held) held.drop(!this.#pumping && name !== 'master');
    this.#held.clear();
    if (this.#pumping) this.#parts.pump.remove(this.#parts.key);
    if (this.#input !== undefined && !this.#inputOpen && (this.#pumping || this.#terminal !== undefined))
      closeFd(this.#input.to);
    if (!this.#pumping && this.#terminal !== undefined) closeFd(this.#terminal.fifo);
    this.#release();
  }

  /**
   * Goes on after another shim: `inherited` is what the keeper held for it. A FIFO that it did not hold is opened anew;
   * then only what the container still has open is there.
   */
  recover(inherited: ReadonlyMap<string, number>): void {
    const { key, link, request, prefix, spooled } = this.#parts;
    const adopt = (name: string): number | undefined => {
      const fd = inherited.get(`${key}#${name}`);
      if (fd !== undefined) this.#held.set(name, link.adopt(`${key}#${name}`, fd));
      return fd;
    };
    const all: Stream[] = request.terminal ? ['stdout'] : spooled ? ['stdout', 'stderr'] : ['stderr'];
    const streams = all.filter((stream) => existsSync(`${prefix}${stream}`));
    for (const stream of streams) {
      const sinkFd = adopt(`sink-${stream}`);
      const place = placeOrNone(request[stream]);
      const kind = place.kind === 'program' ? 'fifo' : place.kind;
      const sink =
        sinkFd !== undefined && kind !== 'none' && place.kind !== 'none'
          ? { kind, path: place.path, fd: sinkFd }
          : undefined;
      const source = adopt(stream) ?? reopen(`${prefix}${stream}.fifo`);
      this.#outputs.push({ stream, source, spool: `${prefix}${stream}`, ...(sink === undefined ? {} : { sink }) });
    }
    const master = adopt('master');
    if (master !== undefined) this.#terminal = { master, fifo: openFd(`${prefix}stdout.fifo`, O_WRONLY | O_NONBLOCK) };
    const to = master === undefined ? adopt('stdin') : duplicate(master);
    const stdin = placeOrNone(request.stdin);
    if (to !== undefined) this.#input = { client: stdin.kind === 'fifo' ? stdin.path : undefined, to };
  }

  /** Resolves when all output is in the spool, or shortly after when somebody else keeps the pipe. */
  async drained(grace: number): Promise<void> {
    for (const fd of this.#direct) closeFd(fd);
    this.#direct = [];
    if (this.#pumping) await this.#parts.pump.drain(this.#parts.key, grace);
  }

  async closeStdin(): Promise<void> {
    if (this.#terminal !== undefined || this.#input === undefined) return;
    if (this.#inputOpen) await this.#parts.pump.closeInput(this.#parts.key);
    else if (this.#input.client !== undefined) this.#closeEarly = true;
    else {
      // Its client took the FIFO away while no shim served, so nobody can write any more.
      closeFd(this.#input.to);
      this.#input = undefined;
      this.#held.get('stdin')?.drop(false);
      this.#held.delete('stdin');
    }
  }

  resize(size: { readonly width: number; readonly height: number }): void {
    if (this.#terminal !== undefined) resizePty(this.#terminal.master, size);
  }

  /** Ends all that is left. Clients are still given what they have not read. */
  remove(): void {
    if (this.#pumping) this.#parts.pump.remove(this.#parts.key);
    if (this.#input !== undefined && !this.#inputOpen) closeFd(this.#input.to);
    this.#input = undefined;
    // The sinks are let go when the pump has closed them: their ends are how clients know that this was all.
    for (const [name, held] of this.#held) if (!name.startsWith('sink-')) held.drop(false);
    this.#held.clear();
    this.#release();
  }

  #release(): void {
    const { prefix } = this.#parts;
    for (const fd of this.#direct) closeFd(fd);
    this.#direct = [];
    if (this.#terminal !== undefined) closeFd(this.#terminal.master);
    this.#terminal = undefined;
    this.#program?.close();
    this.#program = undefined;
    for (const name of ['stdout', 'stderr', 'stdout.fifo', 'stderr.fifo', 'offsets'])
      rmSync(`${prefix}${name}`, { force: true });
  }
}

/** A client's stream that may have gone since. */
function placeOrNone(stream: string): Place {
  try {
    return placeOf(stream);
  } catch {
    return { kind: 'none' };
  }
}

/** Opens a FIFO for reading so that the end is seen even if its last writer is gone already: we are one for a moment. */
function reopen(fifo: string): number {
  const source = openFd(fifo, O_RDONLY | O_NONBLOCK);
  closeFd(openFd(fifo, O_WRONLY | O_NONBLOCK));
  return source;
}
