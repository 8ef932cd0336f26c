/** Images for tests, made in memory out of tar entries or the machine's static busybox. */
export {
  busyboxEntries,
  busyboxImage,
  findBusybox,
  hostPlatform,
  makeImage,
  makeIndex,
  pushImage,
  type ImageDescriptor,
  type MadeImage,
  type MadeIndex,
} from '../../scripts/lib/images.mjs';
export { tar, type Entry } from '../../scripts/lib/tar.mjs';

import { findBusybox } from '../../scripts/lib/images.mjs';

/** For `test(name, { skip: noBusybox() }, …)`: why this machine cannot run such a test, or false. */
export const noBusybox = (): string | false =>
  findBusybox() === undefined ? 'no static busybox on this machine (package busybox-static)' : false;
