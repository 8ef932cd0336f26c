import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { HakoError, invalid, messageOf } from '#base/errors.ts';
import type { Mount } from '#core/mounts.ts';
import {
  bytesOf,
  closeFd,
  EEXIST,
  must,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
  openAt,
  truncateFd,
  unlinkAt,
} from '#sys/at.ts';
import { withinRoots } from './within.ts';

const run = promisify(execFile);
const prefix = 'X-containerd.mkfs.';
const units: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50 };
/** Making a file system of any size takes seconds; one that hangs must not hang us. */
const patience = 120_000;

/**
 * Makes an image with an empty file system where the mount's source is, unless it is there already. The options
 * `X-containerd.mkfs.size`, `.fs` (ext2, ext3, ext4, xfs) and `.uuid` say what, and are taken out.
 */
export async function makeFileSystem(mount: Mount, roots: readonly string[]): Promise<Mount> {
  const given = new Map<string, string>();
  for (const option of mount.options.filter((one) => one.startsWith(prefix))) {
    const [key = '', ...value] = option.slice(prefix.length).split('=');
    if (!['size', 'fs', 'uuid'].includes(key)) throw invalid(`unknown mount option "${option}": want size, fs or uuid`);
    given.set(key, value.join('='));
  }
  const size = bytesIn(given.get('size') ?? '');
  const command = commandFor(given.get('fs') ?? 'ext4', given.get('uuid'));
  if (create(mount.source, size, roots)) {
    try {
      await run(command.program, [...command.args, mount.source], { timeout: patience });
    } catch (error) {
      withinRoots(mount.source, roots, 'mkfs', (parent, name) => unlinkAt(parent, bytesOf(name)));
      throw new HakoError('unknown', `failed format "${mount.source}": ${command.program}: ${messageOf(error)}`, error);
    }
  }
  return { ...mount, options: mount.options.filter((one) => !one.startsWith(prefix)) };
}

/** False when it is there. */
function create(file: string, size: number, roots: readonly string[]): boolean {
  return withinRoots(file, roots, 'mkfs', (parent, name) => {
    const fd = openAt(parent, bytesOf(name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o640);
    if (fd === EEXIST) return false;
    must(fd, 'create', file);
    try {
      must(truncateFd(fd, size), 'ftruncate', file);
      return true;
    } finally {
      closeFd(fd);
    }
  });
}

function bytesIn(text: string): number {
  const found = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?$/i.exec(text);
  const bytes = found === null ? 0 : Math.floor(Number(found[1]) * units[found[2]!.toLowerCase()]!);
  if (bytes <= 0 || !Number.isSafeInteger(bytes))
    throw invalid(`mkfs requires the option ${prefix}size, such as ${prefix}size=64MiB, not "${text}"`);
  return bytes;
}

function commandFor(kind: string, uuid: string | undefined): { program: string; args: string[] } {
  if (uuid !== undefined && !/^[0-9a-f-]{36}$/i.test(uuid)) throw invalid(`mkfs: "${uuid}" is no UUID`);
  if (/^ext[234]$/.test(kind))
    return { program: `mkfs.${kind}`, args: ['-q', '-F', ...(uuid === undefined ? [] : ['-U', uuid])] };
  if (kind === 'xfs')
    return { program: 'mkfs.xfs', args: ['-q', ...(uuid === undefined ? [] : ['-m', `uuid=${uuid}`])] };
  throw invalid(`unsupported filesystem "${kind}": want ext2, ext3, ext4 or xfs`);
}
