import { chmodSync, chownSync, lstatSync, mkdirSync, readFileSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { HakoError } from '#base/errors.ts';
import { tryFlock } from '#sys/flock.ts';

export interface SocketOwner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Opens a listening unix socket at `path` by calling `listen`, which must bind before its first `await` (as Node's
 * `server.listen` does). What a dead daemon left there is removed; a socket that someone answers at, or anything that is
 * no socket, is refused with failed-precondition. The socket is never open to others than its owner and group.
 */
export async function openSocket<T>(
  path: string,
  owner: SocketOwner,
  listen: (path: string) => Promise<T>,
): Promise<T> {
  // sockaddr_un holds 108 bytes with the closing zero; Node would cut a longer one or fail without a reason.
  if (Buffer.byteLength(path) > 107)
    throw new HakoError('invalid-argument', `socket "${path}": the path is longer than 107 bytes`);
  const directory = dirname(path);
  mkdirSync(directory, { recursive: true, mode: 0o711 });
  // Two daemons that share nothing but this directory could both see the same stale socket; one of them goes first.
  using _lock = await lockSoon(directory);
  await removeStale(path);
  const opened = await bindPrivately(() => listen(path));
  chownSync(path, owner.uid, owner.gid);
  chmodSync(path, 0o660);
  return opened;
}

async function bindPrivately<T>(listen: () => Promise<T>): Promise<T> {
  const before = process.umask(0o177);
  let opening: Promise<T>;
  try {
    opening = listen();
  } finally {
    process.umask(before);
  }
  return opening;
}

async function lockSoon(directory: string): Promise<Disposable> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const lock = tryFlock(directory);
    if (lock !== undefined) return lock;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new HakoError('unavailable', `directory "${directory}": another process has held its lock for 5 seconds`);
}

async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new HakoError('failed-precondition', `socket "${path}": something that is no socket is in its place`);
  if (await answers(path)) {
    throw new HakoError(
      'failed-precondition',
      `socket "${path}": another process is listening there: give another --address or --docker-address`,
    );
  }
  unlinkSync(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      // EAGAIN: the backlog of a living listener is full. EPROTOTYPE: a datagram socket that someone holds.
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false);
      else if (error.code === 'EAGAIN' || error.code === 'EPROTOTYPE') resolve(true);
      else reject(new HakoError('failed-precondition', `socket "${path}": ${error.code ?? error.message}`, error));
    });
  });
}

/** The number of a group by its name in /etc/group. */
export function groupId(name: string, file = '/etc/group'): number {
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [group, , id] = line.split(':');
    if (group === name && id !== undefined && /^\d+$/.test(id)) return Number(id);
  }
  throw new HakoError(
    'invalid-argument',
    `group "${name}": not in ${file}: make it with groupadd or change [docker] group`,
  );
}
