import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { Call } from '#base/call.ts';
import { codeOf, HakoError, invalid, messageOf } from '#base/errors.ts';
import type { Container } from '#core/containers.ts';
import type { Stdio } from '#core/runtime.ts';
import type { StreamReader, StreamWriter } from '#core/streams.ts';
import type { OciProcess, OciSpec } from '../spec/types.ts';
import { capabilitiesOf } from '../spec/capabilities.ts';
import { lookUpUser } from '../spec/users.ts';
import { mergeEnv } from './config.ts';
import type { Attachment, EngineObject, ExecRequest } from './types.ts';
import type { Exec } from './execs.ts';
import { textsOf } from './fields.ts';
import { ignoreMissing, ioDirectory, ownCall, type EngineHouse } from './house.ts';
import { labelled, merge } from './merge.ts';
import { recordOf } from './record.ts';
import { resolve, standingOf } from './resolve.ts';

/** How long output may still come after the process has ended: a child of its own may hold the pipe for ever. */
const drainTime = 2000;

export async function execCreate(
  house: EngineHouse,
  call: Call,
  ref: string,
  request: ExecRequest,
): Promise<{ id: string }> {
  const { id } = runningContainer(house, call, ref);
  if (request.cmd.length === 0 || request.cmd[0] === '') throw invalid('No exec command specified');
  mergeEnv([], request.env);
  return { id: house.execs.create(call.namespace, id, request).id };
}

function runningContainer(house: EngineHouse, call: Call, ref: string): Container {
  const container = resolve(house, call, ref);
  const { status } = standingOf(house, call, container.id);
  if (status === 'paused')
    throw new HakoError('conflict', `Container ${ref} is paused, unpause the container before exec`);
  if (status !== 'running') throw new HakoError('conflict', `container ${container.id} is not running`);
  return container;
}

export async function execStart(
  house: EngineHouse,
  call: Call,
  id: string,
  options: { detach: boolean; tty: boolean },
): Promise<Attachment | undefined> {
  const exec = house.execs.get(call.namespace, id);
  if (exec.state === 'ended') throw new HakoError('conflict', `exec command ${id} has already run`);
  if (exec.state !== 'created') throw new HakoError('conflict', `exec command ${id} is already running`);
  const container = runningContainer(house, call, exec.containerId);
  exec.state = 'starting';
  const request = options.detach ? { ...exec.request, stdin: false, stdout: false, stderr: false } : exec.request;
  const pipes = new Pipes(house, exec);
  try {
    const process = await processOf(house, call, container, request);
    const stdio = await pipes.open(request);
    const own = ownCall(house, call.namespace);
    await house.tasks.exec(call, container.id, id, Buffer.from(JSON.stringify(process)), stdio);
    try {
      exec.pid = (await house.tasks.start(own, container.id, id)).pid;
    } catch (error) {
      await ignoreMissing(house.tasks.delete(own, container.id, id, { force: true })).catch(() => {});
      throw error;
    }
  } catch (error) {
    await pipes.close();
    throw refused(exec, error);
  }
  exec.state = 'running';
  pipes.connected();
  const ended = watch(house, exec);
  if (options.detach) {
    void ended.then(() => pipes.close());
    return undefined;
  }
  return pipes.attachment(ended);
}

/** Docker's client reads the exit code from `execInspect`, and the reason from the stream. */
function refused(exec: Exec, error: unknown): HakoError {
  const text = messageOf(error);
  const lower = text.toLowerCase();
  exec.state = 'ended';
  exec.endedAt = Date.now();
  const missing = lower.includes('executable file not found') || lower.includes('no such file or directory');
  exec.exitCode = lower.includes('permission denied') || lower.includes('is a directory') ? 126 : missing ? 127 : 126;
  const code = codeOf(error);
  return new HakoError(code === 'unknown' || code === 'not-found' ? 'invalid-argument' : code, text, error);
}

/** Resolves when the process has ended; its task is then gone, its code remembered. */
async function watch(house: EngineHouse, exec: Exec): Promise<void> {
  const own = ownCall(house, exec.namespace);
  try {
    exec.exitCode = (await house.tasks.wait(own, exec.containerId, exec.id)).status;
  } catch (error) {
    // The container went, and its processes with it.
    exec.exitCode ??= 137;
    if (codeOf(error) !== 'not-found')
      house.logger.log('warn', 'an exec was lost sight of', { id: exec.id, error: messageOf(error) });
  }
  exec.state = 'ended';
  exec.endedAt = Date.now();
  await ignoreMissing(house.tasks.delete(own, exec.containerId, exec.id)).catch((error: unknown) => {
    house.logger.log('debug', 'an exec was not removed', { id: exec.id, error: messageOf(error) });
  });
}

/** The process of an exec: the container's own, but for what was asked. */
async function processOf(
  house: EngineHouse,
  call: Call,
  container: Container,
  request: ExecRequest,
): Promise<OciProcess> {
  if (container.spec === undefined)
    throw new HakoError('failed-precondition', `container "${container.id}" has no spec`);
  const spec = JSON.parse(Buffer.from(container.spec.value).toString('utf8')) as OciSpec;
  const record = recordOf(container);
  const base = spec.process;
  // TERM comes with a terminal, not with the container's.
  const env = base.env.filter((entry) => record === undefined || !entry.startsWith('TERM='));
  const groups = record === undefined ? [] : textsOf(record.hostConfig, 'GroupAdd');
  const user = request.user === '' ? base.user : await userOf(house, call, container.id, request.user, groups);
  const held = request.privileged
    ? capabilitiesOf({ add: [], drop: [], privileged: true }, house.facts.capabilities)
    : (base.capabilities?.bounding ?? []);
  const effective = user.uid === 0 ? held : [];
  const { oomScoreAdj: _, ...rest } = base;
  return {
    ...rest,
    terminal: request.tty,
    args: request.cmd,
    env: mergeEnv([...env, ...(request.tty ? ['TERM=xterm'] : [])], request.env),
    cwd: request.workdir === '' ? base.cwd : request.workdir,
    user,
    ...(base.capabilities === undefined && !request.privileged
      ? {}
      : { capabilities: { bounding: held, effective, permitted: effective } }),
  };
}

async function userOf(
  house: EngineHouse,
  call: Call,
  id: string,
  user: string,
  groups: readonly string[],
): Promise<OciProcess['user']> {
  const { pid } = standingOf(house, call, id);
  const files = await house.rootfs.readFilesOf(pid, ['/etc/passwd', '/etc/group'], call.signal);
  const [passwd, group] = files.map((bytes) => (bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8')));
  return lookUpUser(user, passwd, group, groups);
}

/** An exec's FIFOs and our ends of them. */
class Pipes {
  readonly #house: EngineHouse;
  readonly #exec: Exec;
  readonly #directory: string;
  readonly #readers: { readonly stream: 'stdout' | 'stderr'; readonly reader: StreamReader }[] = [];
  #writer: StreamWriter | undefined;
  #tty = false;

  constructor(house: EngineHouse, exec: Exec) {
    this.#house = house;
    this.#exec = exec;
    this.#directory = path.join(ioDirectory(house, exec.namespace, exec.containerId), exec.id);
  }

  async open(request: ExecRequest): Promise<Stdio> {
    const { streams } = this.#house;
    this.#tty = request.tty;
    const fifo = async (name: string): Promise<string> => {
      const file = path.join(this.#directory, name);
      await streams.createFifo(file);
      return file;
    };
    const stdin = request.stdin ? await fifo('stdin') : '';
    // A terminal has to be read by somebody, or it fills and its process stops.
    const stdout = request.stdout || request.tty ? await fifo('stdout') : '';
    const stderr = request.stderr && !request.tty ? await fifo('stderr') : '';
    if (stdin !== '') this.#writer = streams.openWriter(stdin);
    if (stdout !== '') this.#readers.push({ stream: 'stdout', reader: streams.openReader(stdout) });
    if (stderr !== '') this.#readers.push({ stream: 'stderr', reader: streams.openReader(stderr) });
    return { stdin, stdout, stderr, terminal: request.tty };
  }

  /** The process has its ends: now the last one to close one tells the end. */
  connected(): void {
    this.#writer?.connected();
    for (const { reader } of this.#readers) reader.connected();
  }

  attachment(ended: Promise<void>): Attachment {
    const { promise: left, resolve: leave } = Promise.withResolvers<void>();
    // Who holds the pipe after the process ended is given this long, and no longer.
    void ended.then(() => setTimeout(() => this.#readers.forEach(({ reader }) => reader.close()), drainTime).unref());
    void left.then(() => this.#readers.forEach(({ reader }) => reader.discard()));
    void Promise.allSettled([ended, left]).then(() => this.close());
    return {
      tty: this.#tty,
      output: until(ended, merge(this.#readers.map(({ stream, reader }) => labelled(reader.data, stream)))),
      write: async (data) => this.#writer?.write(data),
      end: () => this.#endInput(),
      [Symbol.asyncDispose]: async () => {
        await this.#endInput();
        leave();
      },
    };
  }

  async #endInput(): Promise<void> {
    const writer = this.#writer;
    if (writer === undefined) return;
    this.#writer = undefined;
    const { namespace, containerId, id } = this.#exec;
    await ignoreMissing(this.#house.tasks.closeStdin(ownCall(this.#house, namespace), containerId, id)).catch(() => {});
    await writer.close();
  }

  async close(): Promise<void> {
    for (const { reader } of this.#readers) reader.close();
    await this.#writer?.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** Clients ask for the exit code as soon as the output is over: it is over when the code is known. */
async function* until<T>(ended: Promise<void>, source: AsyncIterable<T>): AsyncGenerator<T> {
  yield* source;
  await ended;
}

export async function execResize(
  house: EngineHouse,
  call: Call,
  id: string,
  size: { width: number; height: number },
): Promise<void> {
  const exec = house.execs.get(call.namespace, id);
  if (exec.state !== 'running' && exec.state !== 'starting')
    throw new HakoError('conflict', `exec command ${id} is not running`);
  if (size.width === 0 && size.height === 0) return;
  await ignoreMissing(house.tasks.resize(call, exec.containerId, id, size));
}

export async function execInspect(house: EngineHouse, call: Call, id: string): Promise<EngineObject> {
  const exec = house.execs.get(call.namespace, id);
  const { request } = exec;
  const [entrypoint = '', ...args] = request.cmd;
  return {
    ID: exec.id,
    Running: exec.state === 'running' || exec.state === 'starting',
    ExitCode: exec.exitCode ?? null,
    ProcessConfig: {
      tty: request.tty,
      entrypoint,
      arguments: args,
      privileged: request.privileged,
      DetachKeys: request.detachKeys,
      ...(request.user === '' ? {} : { user: request.user }),
    },
    OpenStdin: request.stdin,
    OpenStderr: request.stderr,
    OpenStdout: request.stdout,
    CanRemove: exec.state === 'ended',
    ContainerID: exec.containerId,
    DetachKeys: Buffer.from(request.detachKeys).toString('base64'),
    Pid: exec.pid,
  };
}
