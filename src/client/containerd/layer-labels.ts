import type { Containerd } from '../containerd.ts';
import { contents, type BlobInfo } from './content.ts';

/** Also the older form, a bare number, where 0 was the configuration. */
const namesLayer = (label: string): boolean =>
  /^containerd\.io\/gc\.ref\.content\.(?:l\.|[0-9]+$)/.test(label) && label !== 'containerd.io/gc.ref.content.0';

/** The labels by which a manifest keeps its packed layers from the garbage collector. */
export const layerLabels = ({ labels }: BlobInfo): string[] => Object.keys(labels).filter(namesLayer);

/** Takes those labels away; resolves with what they were. */
export async function dropLayerLabels(door: Containerd, info: BlobInfo): Promise<string[]> {
  const gone = layerLabels(info);
  if (gone.length === 0) return gone;
  const labels = Object.fromEntries(Object.entries(info.labels).filter(([key]) => !gone.includes(key)));
  const updateMask = { paths: gone.map((key) => `labels.${key}`) };
  await contents(door).update({ info: { digest: info.digest, labels }, updateMask });
  return gone;
}
