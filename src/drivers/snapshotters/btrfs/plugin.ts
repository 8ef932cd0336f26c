import type { Plugin } from '#core/plugins.ts';
import { parseSnapshotterConfig, type SnapshotterConfig } from '../config.ts';
import { BtrfsDriver } from './btrfs.ts';

/** Subvolumes, for roots on btrfs. */
export const btrfsPlugin: Plugin<'snapshotter', SnapshotterConfig> = {
  kind: 'snapshotter',
  id: 'btrfs',
  parseConfig: (raw) => parseSnapshotterConfig(raw, ['root_path']),
  start: ({ root, logger, signal, tell }, config) => {
    const place = config.rootPath ?? root;
    tell({ exports: { root: place } });
    return BtrfsDriver.start(place, logger, signal);
  },
};
