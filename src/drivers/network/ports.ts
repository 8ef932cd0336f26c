import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { HakoError } from '#base/errors.ts';
import type { PortMapping } from '#core/network.ts';

const portKey = ({ hostPort, protocol }: Pick<PortMapping, 'hostPort' | 'protocol'>): string =>
  `${hostPort}/${protocol}`;

/**
 * Gives every port that was left open a free one of the host's, and refuses one that another container has. Docker's own
 * words: clients match them.
 */
export async function choosePorts(
  wanted: readonly PortMapping[],
  taken: readonly PortMapping[],
  free: typeof isFree = isFree,
): Promise<PortMapping[]> {
  const held = new Set(taken.map(portKey));
  const chosen: PortMapping[] = [];
  for (const want of wanted) {
    const hostPort = want.hostPort === 0 ? await freePort(want, held, free) : want.hostPort;
    const port = { ...want, hostPort };
    if (want.hostPort !== 0) {
      const clash = taken.find((other) => portKey(other) === portKey(port) && overlaps(other.hostIp, port.hostIp));
      const host = port.hostIp === '' ? '0.0.0.0' : port.hostIp;
      if (clash !== undefined) {
        throw new HakoError('unknown', `Bind for ${host}:${hostPort} failed: port is already allocated`);
      }
      if (!(await free(hostPort, port.protocol, port.hostIp))) {
        throw new HakoError(
          'unknown',
          `failed to bind host port for ${host}:${hostPort}/${port.protocol}: address already in use`,
        );
      }
    }
    held.add(portKey(port));
    chosen.push(port);
  }
  return chosen;
}

const everywhere = new Set(['', '0.0.0.0', '::']);
const overlaps = (one: string, other: string): boolean => one === other || everywhere.has(one) || everywhere.has(other);

/** Linux's ephemeral range, which Docker takes from too. */
const first = 32_768;
const last = 60_999;

async function freePort(want: PortMapping, held: ReadonlySet<string>, free: typeof isFree): Promise<number> {
  for (let hostPort = first; hostPort <= last; hostPort += 1) {
    if (held.has(portKey({ hostPort, protocol: want.protocol }))) continue;
    if (await free(hostPort, want.protocol, want.hostIp)) return hostPort;
  }
  throw new HakoError('resource-exhausted', `no host port from ${first} to ${last} is free for ${want.protocol}`);
}

/** Whether no program of the host listens there now. sctp cannot be asked from here. */
export async function isFree(port: number, protocol: PortMapping['protocol'], hostIp: string): Promise<boolean> {
  if (protocol === 'sctp') return true;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  if (protocol === 'tcp') {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRINUSE'));
    server.listen({ port, exclusive: true, ...(hostIp === '' ? {} : { host: hostIp }) }, () =>
      server.close(() => resolve(true)),
    );
  } else {
    const socket = createSocket(hostIp.includes(':') ? 'udp6' : 'udp4');
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.close();
      resolve(error.code !== 'EADDRINUSE');
    });
    socket.bind({ port, exclusive: true, ...(hostIp === '' ? {} : { address: hostIp }) }, () =>
      socket.close(() => resolve(true)),
    );
  }
  return promise;
}
