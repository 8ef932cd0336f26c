import { invalid } from '#base/errors.ts';
import type { Mount } from '#core/mounts.ts';
import {
  bytesOf,
  chmodFd,
  chownFd,
  closeFd,
  EEXIST,
  mkdirAt,
  must,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openAt,
} from '#sys/at.ts';
import { withinRoots } from './within.ts';

const prefix = 'X-containerd.mkdir.';

/** Makes the directories that the options `X-containerd.mkdir.path=PATH[:MODE[:UID:GID]]` name, and takes them out. */
export function makeDirectories(mount: Mount, roots: readonly string[]): Mount {
  for (const option of mount.options.filter((one) => one.startsWith(prefix))) {
    const found = /^path=([^:]+)(?::([0-7]{1,4})(?::(\d{1,10}):(\d{1,10}))?)?$/.exec(option.slice(prefix.length));
    if (found === null) throw invalid(`invalid mkdir option "${option}": want ${prefix}path=PATH[:MODE[:UID:GID]]`);
    const [, directory = '', mode = '700', uid, gid] = found;
    withinRoots(directory, roots, 'mkdir', (parent, name) => {
      const made = mkdirAt(parent, bytesOf(name), 0o700);
      if (made !== EEXIST) must(made, 'mkdir', directory);
      const fd = must(openAt(parent, bytesOf(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW), 'open', directory);
      try {
        if (uid !== undefined && gid !== undefined) must(chownFd(fd, Number(uid), Number(gid)), 'chown', directory);
        must(chmodFd(fd, Number.parseInt(mode, 8)), 'chmod', directory);
      } finally {
        closeFd(fd);
      }
    });
  }
  return { ...mount, options: mount.options.filter((one) => !one.startsWith(prefix)) };
}
