import { listBlobs } from '#client/containerd/content.ts';
import { dropLayerLabels, layerLabels } from '#client/containerd/layer-labels.ts';
import { leaseId } from '#client/containerd/lease-scope.ts';
import { leases } from '#client/containerd/leases.ts';
import { print } from '../../output.ts';
import { command } from '../command.ts';

export const references = command({
  usage: '[flags]',
  description:
    'Takes away the labels by which manifests hold their layers, so that the garbage collector removes the packed layers.\nUnpacked ones stay. An image can then no longer be pushed or exported from here.',
  flags: {
    async: { kind: 'on', help: 'Allow garbage collection to clean up asynchronously' },
    dry: { kind: 'on', help: 'Just show updates without applying them' },
  },
  takes: [0, 0],
  examples: [['content prune references --dry', 'see which labels would go']],
  async run({ door }, { flags }) {
    for (const info of await listBlobs(door)) {
      if (flags.dry)
        print(
          2,
          layerLabels(info)
            .map((key) => `would remove label ${key} of ${info.digest}\n`)
            .join(''),
        );
      else await dropLayerLabels(door, info);
    }
    if (flags.dry) return;
    // A lease that goes makes the collector run, and a synchronous delete waits for it.
    const id = leaseId();
    await leases(door).create({ id });
    await leases(door).delete({ id, sync: !flags.async });
  },
});
