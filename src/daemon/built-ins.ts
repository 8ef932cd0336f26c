import { contentPlugin } from '#drivers/content/plugin.ts';
import { differPlugin } from '#drivers/differs/plugin.ts';
import { networkPlugin } from '#drivers/network/plugin.ts';
import { registryPlugin } from '#drivers/registry/plugin.ts';
import { runtimePlugin, shimSandboxerPlugin } from '#drivers/runtime/plugin.ts';
import { btrfsPlugin } from '#drivers/snapshotters/btrfs/plugin.ts';
import { nativePlugin } from '#drivers/snapshotters/native/plugin.ts';
import { overlayfsPlugin } from '#drivers/snapshotters/overlayfs/plugin.ts';
import { plugin, type Plugins } from './plugins.ts';

/** Everything that comes with the daemon, in the order in which it starts. The first snapshotter that does is the default. */
export const builtIns: Plugins = [
  plugin(contentPlugin),
  plugin(overlayfsPlugin),
  plugin(btrfsPlugin),
  plugin(nativePlugin),
  plugin(differPlugin),
  plugin(registryPlugin),
  plugin(networkPlugin),
  plugin(runtimePlugin),
  plugin(shimSandboxerPlugin),
];
