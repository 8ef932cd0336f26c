import type { Plugin } from '#core/plugins.ts';
import { parseSnapshotterConfig, type SnapshotterConfig } from '../config.ts';
import { NativeDriver } from './native.ts';

/** Plain copies, for file systems that overlayfs refuses. */
export const nativePlugin: Plugin<'snapshotter', SnapshotterConfig> = {
  kind: 'snapshotter',
  id: 'native',
  parseConfig: (raw) => parseSnapshotterConfig(raw, ['root_path']),
  start: ({ root, logger, signal, tell }, { rootPath = root }) => {
    tell({ exports: { root: rootPath } });
    return NativeDriver.start(rootPath, logger, signal);
  },
};
