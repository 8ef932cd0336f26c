import path from 'node:path';
import { HakoError } from '#base/errors.ts';
import { O_DIRECTORY, O_PATH } from '#sys/at.ts';
import { closeFd, openFd } from '#sys/fd.ts';
import { openWithin, RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS } from '#sys/openat2.ts';

/** Opens the directory that holds `file` so that no link leads out of the root it is in. unimplemented outside all roots. */
export function withinRoots<T>(
  file: string,
  roots: readonly string[],
  what: string,
  use: (directory: number, name: string) => T,
): T {
  const clean = path.normalize(file);
  const root = roots.find((one) => clean.startsWith(`${one}/`));
  const name = path.basename(clean);
  if (root === undefined || !path.isAbsolute(file) || name === '' || name === '..')
    throw new HakoError(
      'unimplemented',
      `no root "${file}" configured for ${what}: want a path below ${roots.join(' or ')}`,
    );
  const top = openFd(root, O_PATH | O_DIRECTORY);
  try {
    const parent = path.relative(root, path.dirname(clean)) || '.';
    const fd = openWithin(top, parent, O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
    try {
      return use(fd, name);
    } finally {
      closeFd(fd);
    }
  } finally {
    closeFd(top);
  }
}
