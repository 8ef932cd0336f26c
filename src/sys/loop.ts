import { HakoError } from '#base/errors.ts';
import { closeFd, O_RDONLY, O_RDWR, openFd, tryOpenFd } from './fd.ts';
import { check, lastErrno, libc, SysError } from './libc.ts';

/** Files as block devices (loop(4)). */

const ioctl = libc('int ioctl(int fd, unsigned long request, void *argument)');
const ioctlNumber = libc('long syscall(long number, int fd, unsigned long request, unsigned long argument)');
const ioctlCall = process.arch === 'x64' ? 16 : 29;

// linux/loop.h
const LOOP_CTL_GET_FREE = 0x4c82;
const LOOP_CONFIGURE = 0x4c0a;
const LOOP_GET_STATUS64 = 0x4c05;
const LOOP_CLR_FD = 0x4c01;
const LO_FLAGS_READ_ONLY = 1;
const LO_FLAGS_AUTOCLEAR = 4;
/** Of loop_info64, which follows a descriptor and a block size in loop_config. */
const infoAt = 8;
const configSize = 304;
const nameAt = 56;
const nameSize = 64;

export interface LoopOptions {
  readonly readonly?: boolean;
  /** Lets go of the file with the last one who uses the device. */
  readonly autoclear?: boolean;
}

/** What the kernel keeps of a file's name. */
const keptName = (file: string): Buffer => Buffer.from(file).subarray(0, nameSize - 1);

/** Makes a block device of a file; gives its path, and a descriptor that keeps one with `autoclear` until it is closed. */
export function attachLoop(file: string, options: LoopOptions = {}): { path: string; fd: number } {
  const mode = options.readonly === true ? O_RDONLY : O_RDWR;
  const backing = openFd(file, mode);
  try {
    // Somebody else may take the free one first.
    for (let tries = 0; tries < 100; tries++) {
      const path = `/dev/loop${freeLoop()}`;
      const device = tryOpenFd(path, mode);
      if (typeof device === 'string') {
        if (device === 'EBUSY' || device === 'ENXIO') continue;
        throw new HakoError('unavailable', `loop device "${path}" for "${file}" cannot be opened: ${device}`);
      }
      if (ioctl(device, LOOP_CONFIGURE, configuration(backing, file, options)) !== -1) return { path, fd: device };
      const errno = lastErrno();
      closeFd(device);
      if (errno !== 'EBUSY') throw new HakoError('unavailable', `"${path}" cannot take "${file}": ${errno}`);
    }
    throw new HakoError('unavailable', `no loop device for "${file}": others took each that was free`);
  } finally {
    closeFd(backing);
  }
}

/** Takes the file out of a device, at once or with its last user. False when the device holds another file, or none. */
export function detachLoop(device: string, file: string): boolean {
  const fd = tryOpenFd(device, O_RDONLY);
  if (typeof fd === 'string') return false;
  try {
    const info = Buffer.alloc(232);
    if (ioctl(fd, LOOP_GET_STATUS64, info) === -1) return false;
    const name = info.subarray(nameAt, nameAt + nameSize);
    if (!name.subarray(0, name.indexOf(0)).equals(keptName(file))) return false;
    if (Number(ioctlNumber(ioctlCall, fd, LOOP_CLR_FD, 0)) === -1 && lastErrno() !== 'ENXIO')
      check(-1, 'ioctl LOOP_CLR_FD', device);
    return true;
  } finally {
    closeFd(fd);
  }
}

function freeLoop(): number {
  const control = openFd('/dev/loop-control', O_RDWR);
  try {
    return check(ioctlNumber(ioctlCall, control, LOOP_CTL_GET_FREE, 0), 'ioctl LOOP_CTL_GET_FREE', '/dev/loop-control');
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    throw new HakoError('unavailable', `no loop device is free: ${error.message}`, error);
  } finally {
    closeFd(control);
  }
}

function configuration(backing: number, file: string, options: LoopOptions): Buffer {
  const config = Buffer.alloc(configSize);
  config.writeUInt32LE(backing, 0);
  const flags =
    (options.readonly === true ? LO_FLAGS_READ_ONLY : 0) | (options.autoclear === true ? LO_FLAGS_AUTOCLEAR : 0);
  config.writeUInt32LE(flags, infoAt + 52);
  keptName(file).copy(config, infoAt + nameAt);
  return config;
}
