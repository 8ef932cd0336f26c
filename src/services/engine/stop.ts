import type { Call } from '#base/call.ts';
import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import type { Container } from '#core/containers.ts';
import { settle } from './hooks.ts';
import { ignoreMissing, keyOf, ownCall, type EngineHouse } from './house.ts';
import { recordOf } from './record.ts';
import { isAlive, resolve, standingOf } from './resolve.ts';
import { parseSignal } from './signals.ts';
import { startLocked } from './start.ts';

export interface StopOptions {
  readonly signal?: string;
  readonly seconds?: number;
}

const defaultSeconds = 10;
const SIGKILL = 9;
/** A process that SIGKILL does not end within this time hangs in the kernel. */
const killPatience = 30_000;

export async function stop(house: EngineHouse, call: Call, ref: string, options: StopOptions): Promise<void> {
  const container = resolve(house, call, ref);
  if (!(await runs(house, call, container.id)))
    throw new HakoError('not-modified', `container "${container.id}" is not running`);
  await end(house, call, container, options);
}

export async function restart(house: EngineHouse, call: Call, ref: string, options: StopOptions): Promise<void> {
  const container = resolve(house, call, ref);
  if (isAlive(standingOf(house, call, container.id))) await end(house, call, container, options, { keep: true });
  using _lock = await house.locks.hold(keyOf(call.namespace, container.id), call.signal);
  await startLocked(house, call, resolve(house, call, container.id));
}

/** Asks, waits, kills. Resolves when the container has ended and what it held is given back. */
async function end(
  house: EngineHouse,
  call: Call,
  container: Container,
  options: StopOptions,
  how: { keep?: boolean } = {},
): Promise<void> {
  const { id } = container;
  const config = recordOf(container)?.config;
  const signal = parseSignal(options.signal ?? config?.StopSignal ?? 'SIGTERM');
  const seconds = options.seconds ?? config?.StopTimeout ?? defaultSeconds;
  const gone = house.tasks.wait(call, id, '').then(
    () => true,
    (error: unknown) => {
      // Somebody else removed the task: it has ended.
      if (codeOf(error) === 'not-found') return true;
      throw error;
    },
  );
  gone.catch(() => {});
  await resumeFirst(house, call, id);
  await ignoreMissing(house.tasks.kill(call, id, '', { signal, all: false }));
  const ended = await within(gone, seconds < 0 ? undefined : seconds * 1000);
  if (!ended) {
    await ignoreMissing(house.tasks.kill(call, id, '', { signal: SIGKILL, all: false }));
    if (!(await within(gone, killPatience))) {
      throw new HakoError('deadline-exceeded', `container "${id}": tried to kill it, but it did not end`);
    }
  }
  if (how.keep !== true) await settle(house, call.namespace, id);
}

/** A paused process gets no signal but KILL before it goes on. */
async function resumeFirst(house: EngineHouse, call: Call, id: string): Promise<void> {
  if (standingOf(house, call, id).status === 'paused') await ignoreMissing(house.tasks.resume(call, id));
}

async function within(gone: Promise<boolean>, milliseconds: number | undefined): Promise<boolean> {
  if (milliseconds === undefined) return gone;
  const { promise, resolve: timeUp } = Promise.withResolvers<boolean>();
  const timer = setTimeout(timeUp, Math.min(milliseconds, 2 ** 31 - 1), false);
  try {
    return await Promise.race([gone, promise]);
  } finally {
    clearTimeout(timer);
  }
}

export async function kill(house: EngineHouse, call: Call, ref: string, name: string): Promise<void> {
  const { id } = resolve(house, call, ref);
  const signal = parseSignal(name === '' ? 'SIGKILL' : name);
  if (!(await runs(house, call, id))) throw notRunning(ref, id, 'cannot kill container');
  try {
    await house.tasks.kill(call, id, '', { signal, all: false });
  } catch (error) {
    if (codeOf(error) === 'not-found') throw notRunning(ref, id, 'cannot kill container');
    throw error;
  }
  // Docker's kill comes back when a SIGKILL has done its work, so that a remove after it finds the container stopped.
  if (signal !== SIGKILL) return;
  const gone = house.tasks.wait(call, id, '').then(
    () => true,
    () => true,
  );
  if (await within(gone, killPatience)) await settle(house, call.namespace, id);
}

/** Whether it runs, once a start that is under way is over: its output may be heard before we know that it has begun. */
async function runs(house: EngineHouse, call: Call, id: string): Promise<boolean> {
  if (isAlive(standingOf(house, call, id))) return true;
  using _lock = await house.locks.hold(keyOf(call.namespace, id), call.signal);
  return isAlive(standingOf(house, call, id));
}

const notRunning = (ref: string, id: string, what: string): HakoError =>
  new HakoError('conflict', `${what}: ${ref}: container ${id} is not running`);

export async function pause(house: EngineHouse, call: Call, ref: string): Promise<void> {
  const { id } = resolve(house, call, ref);
  const { status } = standingOf(house, call, id);
  if (status === 'paused') throw new HakoError('conflict', `container ${id} is already paused`);
  if (status !== 'running') throw new HakoError('conflict', `container ${id} is not running`);
  try {
    await house.tasks.pause(call, id);
  } catch (error) {
    throw new HakoError(codeOf(error), `cannot pause container ${id}: ${messageOf(error)}`, error);
  }
}

export async function unpause(house: EngineHouse, call: Call, ref: string): Promise<void> {
  const { id } = resolve(house, call, ref);
  if (standingOf(house, call, id).status !== 'paused') throw new HakoError('conflict', `container ${id} is not paused`);
  await house.tasks.resume(call, id);
}

export async function resize(
  house: EngineHouse,
  call: Call,
  ref: string,
  size: { width: number; height: number },
): Promise<void> {
  const { id } = resolve(house, call, ref);
  if (!isAlive(standingOf(house, call, id))) throw new HakoError('conflict', `container ${id} is not running`);
  // A client that knows no size asks for nothing.
  if (size.width === 0 && size.height === 0) return;
  await ignoreMissing(house.tasks.resize(ownCall(house, call.namespace), id, '', size));
}
