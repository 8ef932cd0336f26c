import type { Descriptor } from '#core/images.ts';
import type { ImageConfig, Manifest } from './pull-manifest.ts';
import { LayerProgress } from './pull-progress.ts';
import type { PullProgress } from './pull.ts';
import type { UnpackLayer } from './pull-unpack.ts';

/** The layers of one pull on their way: each digest is fetched once, each place in the stack is shown and unpacked. */
export class Layers {
  readonly layers: readonly UnpackLayer[];
  readonly fetches: readonly Promise<unknown>[];
  fetchedAt = performance.now();
  unpackTime = 0;

  constructor(
    tell: (event: PullProgress) => void,
    manifest: Manifest,
    config: ImageConfig,
    fetch: (layer: Descriptor, show: LayerProgress) => Promise<'exists' | 'fetched'>,
  ) {
    const byDigest = new Map<string, { show: LayerProgress; fetched: Promise<'exists' | 'fetched'> }>();
    for (const layer of manifest.layers) {
      if (byDigest.has(layer.digest)) continue;
      const show = new LayerProgress(layer.digest, layer.size, tell);
      const fetched = fetch(layer, show).then((how) => {
        this.fetchedAt = performance.now();
        if (how === 'fetched') show.enter('downloaded');
        return how;
      });
      byDigest.set(layer.digest, { show, fetched });
    }
    this.fetches = [...byDigest.values()].map(({ fetched }) => fetched);
    this.layers = manifest.layers.map((descriptor, at) => {
      const { show, fetched } = byDigest.get(descriptor.digest)!;
      return this.#layer(descriptor, config.diffIds[at] ?? '', show, fetched);
    });
  }

  #layer(
    descriptor: Descriptor,
    diffId: string,
    show: LayerProgress,
    fetched: Promise<'exists' | 'fetched'>,
  ): UnpackLayer {
    let began = 0;
    return {
      descriptor,
      diffId,
      fetched,
      started: () => {
        began = performance.now();
        show.enter('extracting');
      },
      progress: (bytes) => show.bytes(bytes),
      finished: (unpacked) => {
        if (unpacked) this.unpackTime += performance.now() - began;
        void fetched.then((how) => show.enter(unpacked || how === 'fetched' ? 'done' : 'exists'));
      },
    };
  }
}
