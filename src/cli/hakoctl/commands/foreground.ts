import { isatty } from 'node:tty';
import { codeOf, HakoError, invalid } from '#base/errors.ts';
import { tasks } from '#client/containerd/tasks.ts';
import type { Containerd } from '#client/containerd.ts';
import { makeFifos, noIo, type ProcessIo, removeFifos, type IoPaths, type Output } from '#client/process-io.ts';
import { Failure } from '../../failure.ts';
import { followSize, RawTerminal, terminalSize, type Size } from '../../hako/terminal.ts';
import { pour } from '../../output.ts';
import type { Interrupts } from './interrupts.ts';

export interface IoRequest {
  readonly id: string;
  readonly terminal: boolean;
  readonly nullIo?: boolean;
  readonly logUri?: string | undefined;
  readonly fifoDir?: string | undefined;
}

/** Where FIFOs are made when nobody says: where only their owner sees them. */
const usualDirectory = (): string =>
  process.getuid?.() === 0 ? '/run/hakoctl/fifo' : `${process.env['XDG_RUNTIME_DIR'] ?? '/tmp'}/hakoctl/fifo`;

/** The streams of a new process as the flags ask for them. FIFOs are removed with `undo`. */
export async function newIo(request: IoRequest, undo: AsyncDisposableStack): Promise<IoPaths> {
  const { id, terminal, nullIo = false, logUri = '', fifoDir = '' } = request;
  if (terminal && nullIo) throw invalid('tty and null-io cannot be used together');
  if (nullIo) return noIo;
  if (!terminal && logUri !== '') {
    if (!URL.canParse(logUri)) throw invalid(`log "${logUri}": must be a URI, such as file:///var/log/one.log`);
    return { ...noIo, stdout: logUri, stderr: logUri };
  }
  const paths = await makeFifos({ directory: fifoDir === '' ? usualDirectory() : fifoDir, id, terminal });
  undo.defer(() => removeFifos(paths));
  return paths;
}

/** What a shell says of a program whose reader has gone: 128 and SIGPIPE. */
const brokenPipe = 141;

export interface ForegroundOptions {
  readonly containerId: string;
  /** Empty for the container's own process. */
  readonly execId: string;
  readonly io: ProcessIo;
  readonly interrupts: Interrupts;
  /** Starts the process; nothing where it runs already. */
  readonly start?: () => Promise<unknown>;
}

/** Connects our streams with a process, starts it, and stays until it has ended and all that it wrote has been passed on. */
export async function foreground(door: Containerd, options: ForegroundOptions): Promise<number> {
  const { containerId, execId, io, interrupts, start } = options;
  const { terminal } = io.paths;
  const api = tasks(door);
  using _raw = terminal && isatty(0) ? new RawTerminal() : undefined;
  const ended = api.wait({ containerId, execId });
  ended.catch(() => {});
  const output = Promise.all((['stdout', 'stderr'] as const).map((name) => passOn(io, name)));
  output.catch(() => {});
  const fed = io.feed(process.stdin).catch(() => false);
  interrupts.check();
  const resize = async ({ w, h }: Size): Promise<void> =>
    void (await api.resizePty({ containerId, execId, width: w, height: h }));
  const size = terminal ? terminalSize() : undefined;
  // Before it starts, so that a program that asks at once is told; where there is no terminal yet, soon after.
  if (size !== undefined && start !== undefined) await resize(size).catch(() => {});
  await start?.();
  interrupts.forwardTo((signal, all) => api.kill({ containerId, execId, signal, all: all && execId === '' }));
  using _size = terminal ? followSize(resize) : undefined;
  void fed.then(async (whole) => {
    // Its end is told once the process runs: a runtime forgets what it hears before.
    if (whole) await api.closeIO({ containerId, execId, stdin: true }).catch(() => {});
  });
  const { exitStatus } = await Promise.race([ended, brokenOutput(output)]);
  await output;
  return exitStatus;
}

/** Rejects when our own output fails: whoever waits for the process need not any more. */
const brokenOutput = (output: Promise<unknown>): Promise<never> =>
  new Promise((_, reject) => {
    output.catch(reject);
  });

async function passOn(io: ProcessIo, name: Output): Promise<void> {
  const source = io.read(name);
  if (source === undefined) return;
  for await (const chunk of source as AsyncIterable<Uint8Array>) {
    await pour(name === 'stdout' ? 1 : 2, chunk).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'EPIPE' ? new Failure(brokenPipe) : error;
    });
  }
}

/** Waits for the exit code of a process whose streams are not ours. */
export async function silently(
  door: Containerd,
  { containerId, execId, interrupts, start }: Omit<ForegroundOptions, 'io'>,
): Promise<number> {
  const api = tasks(door);
  const ended = api.wait({ containerId, execId });
  ended.catch(() => {});
  interrupts.check();
  await start?.();
  interrupts.forwardTo((signal, all) => api.kill({ containerId, execId, signal, all: all && execId === '' }));
  return (await ended).exitStatus;
}

/** Undoing goes on where something has gone already. */
export const ignoreMissing = (error: unknown): void => {
  if (!(error instanceof HakoError) || codeOf(error) !== 'not-found') throw error;
};
