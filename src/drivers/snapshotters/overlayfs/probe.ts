import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { HakoError, messageOf } from '#base/errors.ts';
import { AT_FDCWD, bytesOf, mknodAt, must } from '#sys/at.ts';
import { tellsTypes } from '#sys/dirent.ts';
import { mountAt, unmountAll } from '#sys/mount.ts';
import { fileSystemOf } from '#sys/space.ts';
import { S_IFCHR } from '#sys/stat.ts';
import { inUserNamespace } from '#sys/userns.ts';
import { setXattr } from '#sys/xattr.ts';

const hasOption = (options: readonly string[], key: string): boolean =>
  options.some((option) => option === key || option.startsWith(`${key}=`));

/** The options every overlay mount needs on this kernel, as containerd chooses them, after those of the configuration. */
function chooseOptions(root: string, configured: readonly string[]): string[] {
  const options = [...configured];
  // Unprivileged overlay mounts keep their marks in user.overlay.* (Linux 5.11). tmpfs has no user attributes.
  const [major = 0, minor = 0] = os.release().split('.').map(Number);
  const recent = major > 5 || (major === 5 && minor >= 11);
  if (!hasOption(options, 'userxattr') && inUserNamespace() && recent && fileSystemOf(root).type !== 'tmpfs')
    options.push('userxattr');
  // With an index, an upper directory used by a second mount is refused: layers are mounted again and again.
  if (!hasOption(options, 'index') && existsSync('/sys/module/overlay/parameters/index')) options.push('index=off');
  return options;
}

/**
 * Tries overlayfs where the layers will be: a mount of two lower directories, a whiteout and an opaque directory must
 * work. Gives the mount options to use, or in one line why this machine cannot have it.
 */
export function probeOverlay(
  root: string,
  configured: readonly string[],
): { readonly options: readonly string[] } | { readonly skip: string } {
  if (/[:,\\]/.test(root))
    return { skip: `overlayfs cannot name layers below "${root}": the path holds ":", "," or "\\"` };
  const { type } = fileSystemOf(root);
  if (type === 'overlay') {
    return {
      skip: `overlayfs cannot lie on overlayfs, which "${root}" is on: put the root directory on another file system, or use the native snapshotter`,
    };
  }
  sweep(root);
  const place = mkdtempSync(path.join(root, 'probe-'));
  try {
    mountAt({ type: 'overlay', source: 'overlay', options: [...layers(place)] }, path.join(place, 'merged'));
    unmountAll(path.join(place, 'merged'));
    // Only now: the first mount is what loads the kernel's module, and its parameters say which options it has.
    const options = chooseOptions(root, configured);
    const mark = hasOption(options, 'userxattr') ? 'user.overlay.opaque' : 'trusted.overlay.opaque';
    must(mknodAt(AT_FDCWD, bytesOf(path.join(place, 'upper/hidden')), S_IFCHR, 0, 0), 'mknod', 'whiteout');
    must(setXattr(bytesOf(path.join(place, 'upper/opaque')), mark, Buffer.from('y')), 'setxattr', mark);
    mountAt(
      { type: 'overlay', source: 'overlay', options: [...layers(place), ...options] },
      path.join(place, 'merged'),
    );
    const seen = ['hidden', 'opaque/hidden'].filter((name) => existsSync(path.join(place, 'merged', name)));
    if (seen.length > 0)
      throw new HakoError('failed-precondition', `the kernel does not honour deleted files (${seen.join(', ')})`);
    if (!tellsTypes(path.join(place, 'upper'))) {
      return {
        skip: `the file system of "${root}" (${type}) does not support d_type; make XFS anew with ftype=1, or use the native snapshotter`,
      };
    }
    return { options };
  } catch (error) {
    return { skip: `overlayfs does not work in "${root}" (${type}): ${messageOf(error)}` };
  } finally {
    unmountAll(path.join(place, 'merged'));
    rmSync(place, { recursive: true, force: true });
  }
}

function layers(place: string): string[] {
  for (const name of ['one/opaque', 'two', 'upper/opaque', 'work', 'merged'])
    mkdirSync(path.join(place, name), { recursive: true });
  for (const name of ['one/hidden', 'one/opaque/hidden']) writeFileSync(path.join(place, name), '');
  const at = (name: string): string => path.join(place, name);
  return [`lowerdir=${at('one')}:${at('two')}`, `upperdir=${at('upper')}`, `workdir=${at('work')}`];
}

/** What a probe left that was killed half way. */
function sweep(root: string): void {
  for (const name of readdirSync(root)) {
    if (!name.startsWith('probe-')) continue;
    unmountAll(path.join(root, name, 'merged'));
    rmSync(path.join(root, name), { recursive: true, force: true });
  }
}
