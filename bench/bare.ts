import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findBusybox } from '../scripts/lib/images.mjs';
import type { Side } from './harness.ts';
import { quote, Shell } from './shell.ts';

/** An OCI bundle that runs /bin/true, made by `runc spec`: the least that any runtime has to do. */
export function makeBundle(dir: string): string {
  const busybox = findBusybox();
  if (busybox === undefined) throw new Error('no static busybox on this machine: install the package busybox-static');
  mkdirSync(join(dir, 'rootfs/bin'), { recursive: true });
  copyFileSync(busybox.path, join(dir, 'rootfs/bin/busybox'));
  symlinkSync('busybox', join(dir, 'rootfs/bin/true'));
  execFileSync('runc', ['spec'], { cwd: dir });
  const file = join(dir, 'config.json');
  const spec = JSON.parse(readFileSync(file, 'utf8')) as { process: { terminal: boolean; args: string[] } };
  spec.process.terminal = false;
  spec.process.args = ['/bin/true'];
  writeFileSync(file, JSON.stringify(spec));
  return dir;
}

/**
 * A bare runtime, the physical limit of everything above it. crun 1.8 refuses a hybrid tree of cgroups, so its shell
 * sees the machine without the unified one where there are both.
 */
export function bareSide(runtime: 'runc' | 'crun', bundle: string, state: string, undo: AsyncDisposableStack): Side {
  const hide = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec sh';
  const shell = undo.use(new Shell(runtime === 'crun' ? ['unshare', '-m', 'sh', '-c', hide] : ['sh']));
  let count = 0;
  return {
    name: `bare ${runtime} run`,
    run: () =>
      shell.time(
        `${runtime} --root ${quote(join(state, runtime))} run --bundle ${quote(bundle)} bare-${runtime}-${process.pid}-${count++}`,
      ),
  };
}
