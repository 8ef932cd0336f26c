import os from 'node:os';
import type { Plugin } from '#core/plugins.ts';
import { inUserNamespace } from '#sys/userns.ts';
import { parseSnapshotterConfig, type SnapshotterConfig } from '../config.ts';
import { OverlayfsDriver } from './overlayfs.ts';

/** Linux 5.19 lets overlayfs lie on layers with other ids. */
function canRemap(): boolean {
  const [major = 0, minor = 0] = os.release().split('.').map(Number);
  return major > 5 || (major === 5 && minor >= 19);
}

/** The kernel's union file system: the default where it works. */
export const overlayfsPlugin: Plugin<'snapshotter', SnapshotterConfig> = {
  kind: 'snapshotter',
  id: 'overlayfs',
  // Trees are gone from sight at once and from disk in the background, so `sync_remove` has nothing to change.
  parseConfig: (raw) =>
    parseSnapshotterConfig(raw, ['root_path', 'mount_options', 'upperdir_label', 'slow_chown', 'sync_remove']),
  start: ({ root, logger, signal, tell }, { rootPath = root, mountOptions, upperdirLabel, slowChown }) => {
    const remapIds = canRemap();
    // containerd's words: clients choose by them how a container gets ids of its own.
    const capabilities = [
      ...(remapIds ? ['remap-ids'] : []),
      ...(slowChown ? [] : ['only-remap-ids']),
      // Clients stack layers that were unpacked apart only where whiteouts can be made.
      ...(inUserNamespace() ? [] : ['rebase']),
    ];
    tell({ exports: { root: rootPath }, capabilities });
    return OverlayfsDriver.start(rootPath, mountOptions, logger, signal, { remapIds, upperdirLabel });
  },
};
