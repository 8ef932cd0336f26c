import { lstat, readdir, stat } from 'node:fs/promises';
import { invalid } from '#base/errors.ts';
import { objectsOf, textOf, type Json } from '../engine/fields.ts';
import type { OciDevice, OciDeviceRule } from './types.ts';

export interface Devices {
  readonly devices: readonly OciDevice[];
  readonly rules: readonly OciDeviceRule[];
}

const S_IFMT = 0o170000;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;

/** glibc's encoding of dev_t. */
const majorOf = (device: bigint): number => Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n));
const minorOf = (device: bigint): number => Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n));

/** The devices a HostConfig names (`--device HOST[:CONTAINER[:rwm]]`); a directory means all in it. */
export async function requestedDevices(hostConfig: Json): Promise<Devices> {
  const devices: OciDevice[] = [];
  const rules: OciDeviceRule[] = [];
  for (const request of objectsOf(hostConfig, 'Devices')) {
    const host = textOf(request, 'PathOnHost');
    const inside = textOf(request, 'PathInContainer') || host;
    const access = textOf(request, 'CgroupPermissions') || 'rwm';
    if (!/^[rwm]{1,3}$/.test(access)) throw invalid(`invalid device mode: ${access}`);
    const found = await devicesAt(host, inside);
    if (found.length === 0) {
      throw invalid(`error gathering device information while adding custom device "${host}": not a device node`);
    }
    for (const device of found) {
      devices.push(device);
      rules.push({ allow: true, type: device.type, major: device.major, minor: device.minor, access });
    }
  }
  return { devices, rules };
}

/** Every device of the host's /dev, for a privileged container. What the runtime makes itself is left to it. */
export async function hostDevices(): Promise<Devices> {
  const own = new Set(
    ['null', 'zero', 'full', 'random', 'urandom', 'tty', 'console', 'ptmx'].map((name) => `/dev/${name}`),
  );
  const devices = (await devicesAt('/dev', '/dev')).filter(({ path }) => !own.has(path));
  return { devices, rules: [] };
}

const passedOver = new Set(['pts', 'shm', 'fd', 'mqueue', '.lxc', '.lxd-mounts', '.udev']);

async function devicesAt(host: string, inside: string): Promise<OciDevice[]> {
  // A path that was named may be a link (/dev/disk/by-id/…); those inside a directory would only name things twice.
  const info = await stat(host, { bigint: true }).catch(() => undefined);
  if (info === undefined)
    throw invalid(`error gathering device information while adding custom device "${host}": no such file or directory`);
  if (!info.isDirectory()) return one(inside, info);
  const found: OciDevice[] = [];
  for (const entry of await readdir(host, { withFileTypes: true })) {
    if (passedOver.has(entry.name)) continue;
    if (entry.isDirectory()) found.push(...(await devicesAt(`${host}/${entry.name}`, `${inside}/${entry.name}`)));
    else if (entry.isCharacterDevice() || entry.isBlockDevice()) {
      const node = await lstat(`${host}/${entry.name}`, { bigint: true }).catch(() => undefined);
      if (node !== undefined) found.push(...one(`${inside}/${entry.name}`, node));
    }
  }
  return found;
}

function one(path: string, info: { mode: bigint; rdev: bigint; uid: bigint; gid: bigint }): OciDevice[] {
  const kind = Number(info.mode) & S_IFMT;
  if (kind !== S_IFCHR && kind !== S_IFBLK) return [];
  return [
    {
      path,
      type: kind === S_IFCHR ? 'c' : 'b',
      major: majorOf(info.rdev),
      minor: minorOf(info.rdev),
      fileMode: Number(info.mode) & 0o7777,
      uid: Number(info.uid),
      gid: Number(info.gid),
    },
  ];
}
