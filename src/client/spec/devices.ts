import { lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { HakoError, invalid } from '#base/errors.ts';
import type { Device } from './types.ts';

/** Directories of /dev that hold no devices of the machine, or those of others. */
const skipped = new Set(['pts', 'shm', 'fd', 'mqueue', '.lxc', '.lxd-mounts', '.udev']);

/** The device at `path`, or all devices below when it is a directory. */
export async function devicesAt(path: string): Promise<Device[]> {
  const found = await stat(path).catch((error: unknown) => {
    throw new HakoError('not-found', `device "${path}": ${error instanceof Error ? error.message : String(error)}`);
  });
  if (found.isDirectory()) return devicesBelow(path);
  const device = await deviceOf(path);
  if (device === undefined) throw invalid(`device "${path}": not a device node`);
  return [device];
}

async function devicesBelow(directory: string): Promise<Device[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  const devices: Device[] = [];
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      if (!skipped.has(entry.name)) devices.push(...(await devicesBelow(path)));
    } else if (entry.name !== 'console') {
      const device = await deviceOf(path);
      if (device !== undefined && device.type !== 'p') devices.push(device);
    }
  }
  return devices;
}

/** undefined for what is no device, and for what has just gone. */
async function deviceOf(path: string): Promise<Device | undefined> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  const type = found?.isBlockDevice() ? 'b' : found?.isCharacterDevice() ? 'c' : found?.isFIFO() ? 'p' : undefined;
  if (found === undefined || type === undefined) return undefined;
  // makedev(3) of 64-bit Linux: twelve bits of the major number, then minor and major by turns.
  const number = BigInt(found.rdev);
  return {
    path,
    type,
    major: Number(((number >> 32n) & 0xfffff000n) | ((number >> 8n) & 0xfffn)),
    minor: Number(((number >> 12n) & 0xffffff00n) | (number & 0xffn)),
    fileMode: found.mode & 0o7777,
    uid: found.uid,
    gid: found.gid,
  };
}
