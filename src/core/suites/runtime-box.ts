import { execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Mount } from '../mounts.ts';
import type { CreateTask, Exit, ProcessRef, Runtime, Stdio } from '../runtime.ts';

/** A runtime to test, without tasks at first. */
export interface RuntimeUnderTest extends AsyncDisposable {
  readonly runtime: Runtime;
  /** A tree with a static busybox and links to its applets in `/bin`. */
  readonly rootfs: readonly Mount[];
  /** Name of the runtime that containers are made with. */
  readonly name: string;
  /** Where files of a test may be put. */
  readonly directory: string;
}

export const never = new AbortController().signal;
export const namespace = 'suite';
export const noStdio: Stdio = { stdin: '', stdout: '', stderr: '', terminal: false };

let count = 0;

export interface BoxOptions {
  readonly terminal?: boolean;
  readonly stdin?: boolean;
  /** False: nobody but the spool is given the output. */
  readonly client?: boolean;
  readonly log?: boolean;
  readonly process?: Readonly<Record<string, unknown>>;
  readonly runtime?: CreateTask['runtime'];
}

/** The spec of a small container. */
export function specOf(
  id: string,
  args: readonly string[],
  terminal: boolean,
  more: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  const capabilities = ['CAP_KILL', 'CAP_CHOWN', 'CAP_SETUID', 'CAP_SETGID'];
  return {
    ociVersion: '1.0.2',
    process: {
      terminal,
      user: { uid: 0, gid: 0 },
      args,
      env: ['PATH=/bin', 'TERM=xterm'],
      cwd: '/',
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      ...more,
    },
    root: { path: 'rootfs' },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=65536k'] },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
      },
    ],
    linux: {
      cgroupsPath: `/hako-suite-${process.pid}/${id}`,
      namespaces: ['pid', 'ipc', 'uts', 'mount', 'network'].map((type) => ({ type })),
      resources: { devices: [{ allow: true, access: 'rwm' }] },
    },
  };
}

/** A client's reader of a FIFO: a process of its own, as clients are. */
export class Reader {
  readonly #child;
  readonly #chunks: Buffer[] = [];
  /** Everything, once the FIFO has ended. */
  readonly all: Promise<string>;

  constructor(fifo: string) {
    this.#child = spawn('cat', [fifo], { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#child.stdout.on('data', (chunk: Buffer) => this.#chunks.push(chunk));
    this.all = new Promise((resolve) => this.#child.on('close', () => resolve(this.text)));
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString();
  }

  /** Resolves when what has come matches. */
  async sees(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.text)) await new Promise((resolve) => this.#child.stdout.once('data', resolve));
  }

  /** The client goes away in the middle. */
  async leave(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.all;
  }
}

/** A container of a test, with a client at each of its streams. */
export class Box implements AsyncDisposable {
  readonly #house: RuntimeUnderTest;
  readonly #directory: string;
  readonly ref: ProcessRef;
  readonly stdio: Stdio;
  readonly logFile: string;
  readonly stdout: Reader | undefined;
  readonly stderr: Reader | undefined;
  #stdin: number | undefined;

  private constructor(house: RuntimeUnderTest, directory: string, id: string, options: BoxOptions) {
    this.#house = house;
    this.#directory = directory;
    this.ref = { namespace, id, execId: '' };
    this.logFile = path.join(directory, 'log.json');
    const clients = this.#clients('', options);
    this.stdio = clients.stdio;
    this.stdout = clients.stdout;
    this.stderr = clients.stderr;
    this.#stdin = clients.stdin;
  }

  /** Makes a container, not started. */
  static async create(house: RuntimeUnderTest, args: readonly string[], options: BoxOptions = {}): Promise<Box> {
    const id = `box-${process.pid}-${count++}`;
    const directory = await mkdtemp(path.join(house.directory, 'box-'));
    const box = new Box(house, directory, id, options);
    const spec = Buffer.from(JSON.stringify(specOf(id, args, options.terminal ?? false, options.process)));
    const runtime = options.runtime ?? { name: house.name };
    const log = options.log === false ? {} : { log: { path: box.logFile } };
    try {
      await house.runtime.create(
        { namespace, id, spec, rootfs: house.rootfs, stdio: box.stdio, runtime, ...log },
        never,
      );
    } catch (error) {
      await box[Symbol.asyncDispose]();
      throw error;
    }
    return box;
  }

  /** Makes a container and starts it. */
  static async run(house: RuntimeUnderTest, args: readonly string[], options: BoxOptions = {}): Promise<Box> {
    const box = await Box.create(house, args, options);
    await house.runtime.start(box.ref, never);
    return box;
  }

  #clients(name: string, options: BoxOptions): { stdio: Stdio; stdout?: Reader; stderr?: Reader; stdin?: number } {
    const fifo = (stream: string): string => {
      const file = path.join(this.#directory, `${name}${stream}`);
      execFileSync('mkfifo', [file]);
      return file;
    };
    const terminal = options.terminal ?? false;
    const stdin = options.stdin === true ? fifo('stdin') : '';
    const stdout = options.client === false ? '' : fifo('stdout');
    const made = options.client === false || terminal ? '' : fifo('stderr');
    // Go's clients name a stderr beside a terminal, and never make it.
    const stderr = terminal ? `${stdout}-of-nobody` : made;
    return {
      stdio: { stdin, stdout, stderr, terminal },
      ...(stdin === '' ? {} : { stdin: openSync(stdin, 'r+') }),
      ...(stdout === '' ? {} : { stdout: new Reader(stdout) }),
      ...(made === '' ? {} : { stderr: new Reader(made) }),
    };
  }

  /** Starts a further process with clients of its own. */
  async exec(
    execId: string,
    args: readonly string[],
    options: BoxOptions = {},
  ): Promise<{ ref: ProcessRef; stdout?: Reader; stderr?: Reader; stdin?: number }> {
    const ref = { ...this.ref, execId };
    const clients = this.#clients(`${execId}-`, options);
    const spec = specOf('', args, options.terminal ?? false, options.process)['process'];
    await this.#house.runtime.exec(ref, { spec: Buffer.from(JSON.stringify(spec)), stdio: clients.stdio }, never);
    try {
      await this.#house.runtime.start(ref, never);
    } catch (error) {
      await Promise.all([clients.stdout?.leave(), clients.stderr?.leave()]);
      throw error;
    }
    return { ref, ...clients };
  }

  type(text: string): void {
    if (this.#stdin !== undefined) writeSync(this.#stdin, text);
  }

  /** The client of standard input goes away without a word. */
  hangUp(): void {
    if (this.#stdin !== undefined) closeSync(this.#stdin);
    this.#stdin = undefined;
  }

  wait(): Promise<Exit> {
    return this.#house.runtime.wait(this.ref, never);
  }

  /** What was written to a stream, as its spool has it. */
  spooled(stream: 'stdout' | 'stderr'): string {
    return readFileSync(this.#house.runtime.spool(this.ref.namespace, this.ref.id)[stream], 'utf8');
  }

  records(): { log: string; stream: string; time: string }[] {
    const lines = readFileSync(this.logFile, 'utf8')
      .split('\n')
      .filter((line) => line !== '');
    return lines.map((line) => JSON.parse(line) as { log: string; stream: string; time: string });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.hangUp();
    await this.#house.runtime.discard(this.ref.namespace, this.ref.id, AbortSignal.timeout(20_000));
    await Promise.all([this.stdout?.leave(), this.stderr?.leave()]);
    await rm(this.#directory, { recursive: true, force: true });
  }
}
