import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { HakoError } from '#base/errors.ts';
import { check, libc } from '#sys/libc.ts';
import { chooseSubnet, formatSubnet, hostSubnets, overlaps, parseSubnet, type Subnet } from './subnets.ts';

const socketCall = libc('int socket(int domain, int type, int protocol)');
const ioctlCall = libc('int ioctl(int fd, unsigned long request, void *argument)');
const closeCall = libc('int close(int fd)');

/** The bridge that containers are on, and their addresses. */
export interface Bridge {
  readonly bridge: string;
  readonly subnet: Subnet;
}

/**
 * The bridge and its subnet: from the configuration, else what `file` keeps of an earlier choice, else a name and numbers
 * nobody on this host uses. A second daemon thereby gets a bridge of its own. A choice that clashes by now is made anew
 * while nothing hangs on it.
 */
export function chooseBridge(
  config: { readonly bridge?: string; readonly subnet?: Subnet },
  file: string,
  inUse: boolean,
): Bridge {
  if (config.bridge !== undefined && config.subnet !== undefined) {
    return { bridge: config.bridge, subnet: config.subnet };
  }
  const kept = readBridge(file);
  const bridge = config.bridge ?? kept?.bridge ?? freeBridge();
  const used = hostSubnets(bridge);
  const usable = kept !== undefined && (inUse || !used.some((other) => overlaps(other, kept.subnet)));
  const subnet = config.subnet ?? (usable ? kept.subnet : chooseSubnet(used));
  if (kept?.bridge === bridge && formatSubnet(kept.subnet) === formatSubnet(subnet)) return kept;
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(`${file}.new`, JSON.stringify({ bridge, subnet: formatSubnet(subnet) }), { mode: 0o600 });
  renameSync(`${file}.new`, file);
  return { bridge, subnet };
}

function readBridge(file: string): Bridge | undefined {
  try {
    const { bridge, subnet } = JSON.parse(readFileSync(file, 'utf8')) as { bridge: string; subnet: string };
    return { bridge, subnet: parseSubnet(subnet) };
  } catch {
    // The first start, or a torn file: chosen anew.
    return undefined;
  }
}

function freeBridge(): string {
  for (let number = 0; number < 1000; number += 1) {
    if (!existsSync(`/sys/class/net/hako${number}`)) return `hako${number}`;
  }
  throw new HakoError('resource-exhausted', 'bridges hako0 to hako999 exist on this host: remove some');
}

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCBRDELBR = 0x89a1;
const IFF_UP = 1;

/** Takes the bridge that `file` names off the host. Nothing happens when it is not there, or anything is on it. */
export function removeBridge(file: string): void {
  const name = readBridge(file)?.bridge;
  if (name === undefined) return;
  const ports = `/sys/class/net/${name}/brif`;
  if (!existsSync(ports) || readdirSync(ports).length > 0) return;
  // struct ifreq (netdevice(7)): 16 bytes of name, then the flags.
  const request = Buffer.alloc(40);
  request.write(name);
  const socket = check(socketCall(AF_INET, SOCK_DGRAM_CLOEXEC, 0), 'socket', name);
  try {
    check(ioctlCall(socket, SIOCGIFFLAGS, request), 'ioctl SIOCGIFFLAGS', name);
    // The kernel removes no bridge that is up.
    request.writeInt16LE(request.readInt16LE(16) & ~IFF_UP, 16);
    check(ioctlCall(socket, SIOCSIFFLAGS, request), 'ioctl SIOCSIFFLAGS', name);
    check(ioctlCall(socket, SIOCBRDELBR, request), 'ioctl SIOCBRDELBR', name);
  } finally {
    closeCall(socket);
  }
}
