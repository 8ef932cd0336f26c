import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { HakoError } from '#base/errors.ts';
import { withSoftFileLimit } from '#sys/process.ts';
import { deleteByHand, startByFifo } from './runc-shortcuts.ts';
import { lastError, runtimeError } from './runtime-error.ts';

/** Which OCI runtime makes a container, and how. Kept in the bundle for the next shim. */
export interface RuntimeChoice {
  readonly binary: string;
  /** Its state directory (`--root`). */
  readonly root: string;
  readonly systemdCgroup: boolean;
  readonly noPivotRoot: boolean;
  readonly noNewKeyring: boolean;
  /** Run it where /sys/fs/cgroup/unified is not seen: see `needsHiddenUnified`. */
  readonly hideUnified: boolean;
}

/** What a checkpoint takes along, and where it is put. */
export interface CheckpointOptions {
  readonly imagePath: string;
  /** For CRIU's own files and log. */
  readonly workPath: string;
  readonly exit: boolean;
  readonly openTcp: boolean;
  readonly externalUnixSockets: boolean;
  readonly terminal: boolean;
  readonly fileLocks: boolean;
  readonly emptyNamespaces: readonly string[];
}

/** Standard streams that a child gets; the numbers are ours. */
export type ChildStdio = readonly [stdin: number | 'ignore', stdout: number | 'ignore', stderr: number | 'ignore'];
const none: ChildStdio = ['ignore', 'ignore', 'ignore'];

/** The environment of a runtime: nothing of ours, but what it needs to find its own tools. */
const environment = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };

/** The soft limit of open files that Node raised for itself; what it was, is told by whoever started us. */
const softFileLimit = Number(process.env['HAKO_SOFT_NOFILE'] ?? 1024);

/** crun up to at least 1.8 refuses a host whose version 1 tree has a version 2 one beside it. */
export const needsHiddenUnified = (binary: string): boolean =>
  path.basename(binary).startsWith('crun') &&
  /^\S+ \/sys\/fs\/cgroup\/unified cgroup2 /m.test(readFileSync('/proc/self/mounts', 'latin1'));

/** Calls an OCI runtime's command line for one container. */
export class OciRuntime {
  readonly #choice: RuntimeChoice;
  readonly #id: string;
  readonly #bundle: string;

  constructor(choice: RuntimeChoice, id: string, bundle: string) {
    this.#choice = choice;
    this.#id = id;
    this.#bundle = bundle;
  }

  /** Makes the container, its first process waiting to be started. Gives the process's pid. */
  async create(options: { stdio: ChildStdio; consoleSocket?: string }): Promise<number> {
    const pidFile = path.join(this.#bundle, 'init.pid');
    const { noPivotRoot, noNewKeyring } = this.#choice;
    const parameters = ['create', '--bundle', this.#bundle, '--pid-file', pidFile];
    if (options.consoleSocket !== undefined) parameters.push('--console-socket', options.consoleSocket);
    if (noPivotRoot) parameters.push('--no-pivot');
    if (noNewKeyring) parameters.push('--no-new-keyring');
    await this.#run([...parameters, this.#id], options.stdio, path.join(this.#bundle, 'config.json'));
    return readPid(pidFile);
  }

  /** Lets the first process run. `ended` resolves when it dies instead. */
  async start(ended: Promise<unknown>): Promise<void> {
    if (this.#isRunc && (await startByFifo(this.#choice.root, this.#id, ended))) return;
    await this.#run(['start', this.#id]);
  }

  get #isRunc(): boolean {
    return path.basename(this.#choice.binary) === 'runc';
  }

  /** Starts a further process, described by a file. Gives its pid. */
  async exec(options: {
    specFile: string;
    pidFile: string;
    stdio: ChildStdio;
    consoleSocket?: string;
  }): Promise<number> {
    const parameters = ['exec', '--process', options.specFile, '--detach', '--pid-file', options.pidFile];
    if (options.consoleSocket !== undefined) parameters.push('--console-socket', options.consoleSocket);
    await this.#run([...parameters, this.#id], options.stdio, options.specFile);
    return readPid(options.pidFile);
  }

  /** Removes the container; `force` kills what lives of it. No error when there is none. */
  async delete(force: boolean): Promise<void> {
    if (!force && this.#isRunc && deleteByHand(this.#choice.root, this.#id)) return;
    await this.#run(['delete', ...(force ? ['--force'] : []), this.#id]).catch((error: unknown) => {
      // Deleted before, by a shim that did not live to write it down.
      if (!(error instanceof HakoError && /does not exist/.test(error.message))) throw error;
    });
  }

  async pause(): Promise<void> {
    await this.#run(['pause', this.#id]);
  }

  async resume(): Promise<void> {
    await this.#run(['resume', this.#id]);
  }

  /** Writes the state of the container's processes into a directory, by CRIU; in the words of containerd's shims. */
  async checkpoint(options: CheckpointOptions): Promise<void> {
    const { imagePath, workPath, emptyNamespaces } = options;
    const flags = [
      ...(options.openTcp ? ['--tcp-established'] : []),
      ...(options.externalUnixSockets ? ['--ext-unix-sk'] : []),
      ...(options.terminal ? ['--shell-job'] : []),
      ...(options.fileLocks ? ['--file-locks'] : []),
      ...emptyNamespaces.flatMap((name) => ['--empty-ns', name]),
      ...(options.exit ? [] : ['--leave-running']),
    ];
    const paths = ['--image-path', imagePath, '--work-path', workPath];
    const { code, signal, log } = await this.#ask(['checkpoint', ...paths, ...flags, this.#id]);
    if (code === 0) return;
    const how = signal === null ? `exit status ${code}` : `signal ${signal}`;
    const words = lastError(log)?.split('\n')[0] ?? '';
    const dump = path.join(this.#bundle, 'criu-dump.log');
    if (existsSync(path.join(workPath, 'dump.log'))) copyFileSync(path.join(workPath, 'dump.log'), dump);
    throw new HakoError(
      'unknown',
      `${path.basename(this.#choice.binary)} did not terminate successfully: ${how}: ${words} path= ${dump}`,
    );
  }

  /** `file` holds linux.resources of the OCI spec. */
  async update(file: string): Promise<void> {
    await this.#run(['update', '--resources', file, this.#id]);
  }

  /** Calls the runtime, and throws what it says is wrong. `spec` is the file that names the program to run, if there is one. */
  async #run(parameters: readonly string[], stdio: ChildStdio = none, spec?: string): Promise<void> {
    const ended = await this.#ask(parameters, stdio);
    if (ended.code === 0) return;
    throw runtimeError({ ...ended, binary: this.#choice.binary, verb: parameters[0]!, command: commandIn(spec) });
  }

  /** Calls the runtime, and gives how it ended with what it logged. */
  async #ask(
    parameters: readonly string[],
    stdio: ChildStdio = none,
  ): Promise<{ code: number | null; signal: string | null; log: string }> {
    const { binary, root, systemdCgroup, hideUnified } = this.#choice;
    // One log for each call, or calls side by side would read each other's errors.
    const log = path.join(this.#bundle, `runtime-${parameters[0]}-${calls++}.log`);
    const all = [
      '--root',
      root,
      '--log',
      log,
      '--log-format',
      'json',
      ...(systemdCgroup ? ['--systemd-cgroup'] : []),
      ...parameters,
    ];
    const command: [string, string[]] = hideUnified
      ? ['unshare', ['--mount', 'sh', '-c', 'umount /sys/fs/cgroup/unified && exec "$0" "$@"', binary, ...all]]
      : [binary, all];
    try {
      const ended = await run(command[0], command[1], this.#bundle, stdio);
      return { ...ended, log: ended.code === 0 ? '' : readLog(log) };
    } finally {
      rmSync(log, { force: true });
    }
  }
}

let calls = 0;

/** Starts a program as a fresh one of the system's would be: libuv resets signals and masks, we the file limit. */
function run(
  program: string,
  parameters: readonly string[],
  cwd: string,
  stdio: ChildStdio,
): Promise<{ code: number | null; signal: string | null }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ code: number | null; signal: string | null }>();
  const child = withSoftFileLimit(softFileLimit, () =>
    spawn(program, parameters, { cwd, env: environment, stdio: [...stdio] }),
  );
  child.on('error', (error: NodeJS.ErrnoException) => {
    const what =
      error.code === 'ENOENT' ? 'not found; install it, or name another in the runtime options' : error.message;
    reject(new HakoError('failed-precondition', `OCI runtime "${program}": ${what}`, error));
  });
  child.on('exit', (code, signal) => resolve({ code, signal }));
  return promise;
}

const readPid = (file: string): number => Number(readFileSync(file, 'utf8'));

/** The program that an OCI spec or process in a file runs. */
function commandIn(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  try {
    const spec = JSON.parse(readFileSync(file, 'utf8')) as { args?: string[]; process?: { args?: string[] } };
    return (spec.process ?? spec).args?.[0];
  } catch {
    return undefined;
  }
}

function readLog(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
