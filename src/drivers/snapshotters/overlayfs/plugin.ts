import type { Plugin } from '#core/plugins.ts';
import { parseSnapshotterConfig, type SnapshotterConfig } from '../config.ts';
import { OverlayfsDriver } from './overlayfs.ts';

/** The kernel's union file system: the default where it works. */
export const overlayfsPlugin: Plugin<'snapshotter', SnapshotterConfig> = {
  kind: 'snapshotter',
  id: 'overlayfs',
  parseConfig: (raw) => parseSnapshotterConfig(raw, ['root_path', 'mount_options']),
  start: ({ root, logger, signal }, config) =>
    OverlayfsDriver.start(config.rootPath ?? root, config.mountOptions, logger, signal),
};
