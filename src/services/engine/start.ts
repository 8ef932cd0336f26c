import path from 'node:path';
import type { Call } from '#base/call.ts';
import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import type { Container } from '#core/containers.ts';
import type { Stdio } from '#core/runtime.ts';
import type { OciSpec } from '../spec/types.ts';
import { flagOf } from './fields.ts';
import { ignoreMissing, ioDirectory, keyOf, ownCall, type EngineHouse } from './house.ts';
import { recordOf, type DockerRecord } from './record.ts';
import { removeContainer } from './remove.ts';
import { resolve, standingOf } from './resolve.ts';

/** Starts a container, whichever door made it. Its output goes to the spool, its input comes through a FIFO of ours. */
export async function start(house: EngineHouse, call: Call, ref: string): Promise<void> {
  const { id } = resolve(house, call, ref);
  using _lock = await house.locks.hold(keyOf(call.namespace, id), call.signal);
  await startLocked(house, call, resolve(house, call, id));
}

/** The same for who holds the container's lock. */
export async function startLocked(house: EngineHouse, call: Call, container: Container): Promise<void> {
  const { id } = container;
  const key = keyOf(call.namespace, id);
  const { status } = standingOf(house, call, id);
  if (status === 'paused') throw new HakoError('conflict', 'cannot start a paused container, try unpause instead');
  if (status === 'running') throw new HakoError('not-modified', `container "${id}" is running`);
  const record = recordOf(container);
  // Left by a client of another door, or by a start that a kill cut short.
  await ignoreMissing(house.tasks.delete(ownCall(house, call.namespace), id, '', { force: true }));
  try {
    await run(house, call, container, record);
  } catch (error) {
    await failed(house, call, container, record, error);
  }
  await house.lives.tell(key, { kind: 'started' });
}

async function run(
  house: EngineHouse,
  call: Call,
  container: Container,
  record: DockerRecord | undefined,
): Promise<void> {
  const { id } = container;
  const stdio = await stdioOf(house, call, container, record);
  await house.tasks.create(call, { id, rootfs: [], stdio });
  // From here on the client may leave: half a start would be worse than a whole one.
  const own = ownCall(house, call.namespace);
  try {
    await house.lives.tell(keyOf(call.namespace, id), { kind: 'created' });
    await house.tasks.start(own, id, '');
  } catch (error) {
    await ignoreMissing(house.tasks.delete(own, id, '', { force: true }));
    throw error;
  }
}

async function stdioOf(
  house: EngineHouse,
  call: Call,
  container: Container,
  record: DockerRecord | undefined,
): Promise<Stdio> {
  const terminal = isTerminal(container, record);
  if (record?.config.OpenStdin !== true) return { stdin: '', stdout: '', stderr: '', terminal };
  const stdin = stdinPath(house, call.namespace, container.id);
  await house.streams.createFifo(stdin);
  return { stdin, stdout: '', stderr: '', terminal };
}

export const stdinPath = (house: Pick<EngineHouse, 'state'>, namespace: string, id: string): string =>
  path.join(ioDirectory(house, namespace, id), 'stdin');

/** Whether a container's first process has a terminal. */
export function isTerminal(container: Container, record: DockerRecord | undefined): boolean {
  if (record !== undefined) return record.config.Tty;
  if (container.spec === undefined) return false;
  const spec = JSON.parse(Buffer.from(container.spec.value).toString('utf8')) as Partial<OciSpec>;
  return spec.process?.terminal === true;
}

/** Remembers why, tells who waits, removes what was to be removed, and throws in Docker's words. */
async function failed(
  house: EngineHouse,
  call: Call,
  container: Container,
  record: DockerRecord | undefined,
  error: unknown,
): Promise<never> {
  const { namespace } = call;
  const refusal = startError(error);
  const own = ownCall(house, namespace);
  const before = standingOf(house, own, container.id);
  try {
    house.ledger.runs.put(namespace, container.id, {
      ...before,
      status: before.startedAt === undefined ? 'created' : 'exited',
      pid: 0,
      exitCode: refusal.exitCode,
      error: refusal.error.message,
    });
  } catch (reason) {
    // On a full disk whoever waits must hear all the same, and of what came first.
    house.logger.log('warn', 'why a container did not start was not written down', {
      namespace,
      id: container.id,
      error: messageOf(reason),
    });
  }
  await house.lives.tell(keyOf(namespace, container.id), {
    kind: 'failed',
    error: refusal.error.message,
    exitCode: refusal.exitCode,
  });
  if (record !== undefined && flagOf(record.hostConfig, 'AutoRemove')) {
    await removeContainer(house, own, container, { volumes: true }).catch((reason: unknown) => {
      house.logger.log('warn', 'a container that did not start was not removed', {
        namespace,
        id: container.id,
        error: messageOf(reason),
      });
    });
  }
  throw refusal.error;
}

/** The exit codes by which Docker tells why nothing ran, and the words by which its client chooses its own. */
export function startError(error: unknown): { error: HakoError; exitCode: number } {
  const code = codeOf(error);
  const text = messageOf(error);
  const lower = text.toLowerCase();
  const wrap = (message: string): HakoError =>
    new HakoError(
      'invalid-argument',
      /^failed to create task for container/.test(message)
        ? message
        : `failed to create task for container: ${message}`,
      error,
    );
  // A plugin's missing program is no missing command of the container's.
  const network = lower.includes('failed to set up container networking');
  if (network) return { error: error instanceof HakoError ? error : new HakoError(code, text, error), exitCode: 128 };
  if (lower.includes('is a directory')) return { error: wrap(`${text}: permission denied`), exitCode: 126 };
  if (lower.includes('permission denied')) return { error: wrap(text), exitCode: 126 };
  if (lower.includes('not a directory')) {
    const hint =
      'Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type';
    return { error: wrap(`${text}: ${hint}`), exitCode: 127 };
  }
  if (lower.includes('executable file not found') || lower.includes('no such file or directory'))
    return { error: wrap(text), exitCode: 127 };
  // What is not the runtime's, such as a network that could not be had, keeps its own code.
  return {
    error: error instanceof HakoError && code !== 'unknown' ? error : new HakoError(code, text, error),
    exitCode: 128,
  };
}
