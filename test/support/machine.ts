import { spawnSync } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { privateBin } from '../../scripts/lib/house.mjs';
import { noBusybox } from './images.ts';
import { noRegistry } from './registry.ts';

// Programs that were unpacked for the tests come before the host's own, also where one test file is run by hand.
if (!(process.env['PATH'] ?? '').split(delimiter).includes(privateBin)) {
  process.env['PATH'] = `${privateBin}${delimiter}${process.env['PATH'] ?? ''}${delimiter}/usr/sbin${delimiter}/sbin`;
}

/** The path of a program on PATH, or undefined. */
export function which(program: string): string | undefined {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(directory, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      continue;
    }
  }
  return undefined;
}

let overlay: string | false | undefined;

/** Why overlayfs cannot be mounted in the directory for temporary files, or false. Tried once. */
function noOverlayfs(): string | false {
  if (overlay !== undefined) return overlay;
  if (!/\boverlay$/m.test(readFileSync('/proc/filesystems', 'utf8'))) spawnSync('modprobe', ['overlay']);
  const home = mkdtempSync(join(tmpdir(), 'hako-overlay-'));
  try {
    const script = 'cd "$1" && mkdir l u w m && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w none m && umount m';
    const { status, stderr } = spawnSync('sh', ['-c', script, 'sh', home], { encoding: 'utf8' });
    overlay = status === 0 ? false : `overlayfs cannot be mounted here (${stderr.trim().split('\n').at(-1) ?? ''})`;
  } finally {
    rmSync(home, { recursive: true });
  }
  return overlay;
}

/**
 * For `test(name, { skip: noContainers('ctr') }, …)`: why this machine cannot run containers with these guests, or
 * false. A skipped test is reported by its name with this reason.
 */
export function noContainers(...guests: readonly string[]): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  for (const program of ['runc', ...guests])
    if (which(program) === undefined) return `the program "${program}" is missing`;
  return noBusybox() || noRegistry() || noOverlayfs();
}
