import { contents, listBlobs } from '#client/containerd/content.ts';
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
    for (const { digest, labels } of await listBlobs(door)) {
      const gone = Object.keys(labels).filter(namesLayer);
      if (flags.dry) print(2, gone.map((key) => `would remove label ${key} of ${digest}\n`).join(''));
      if (flags.dry || gone.length === 0) continue;
      const kept = Object.fromEntries(Object.entries(labels).filter(([key]) => !gone.includes(key)));
      const updateMask = { paths: gone.map((key) => `labels.${key}`) };
      await contents(door).update({ info: { digest, labels: kept }, updateMask });
    }
    if (flags.dry) return;
    // A lease that goes makes the collector run, and a synchronous delete waits for it.
    const id = leaseId();
    await leases(door).create({ id });
    await leases(door).delete({ id, sync: !flags.async });
  },
});

/** Also the older form, a bare number where 0 was the configuration. */
const namesLayer = (label: string): boolean =>
  /^containerd\.io\/gc\.ref\.content\.(?:l\.|[0-9]+$)/.test(label) && label !== 'containerd.io/gc.ref.content.0';
