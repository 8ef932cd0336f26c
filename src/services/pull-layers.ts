import type { Descriptor } from '#core/images.ts';
import { LayerProgress, type ObjectSteps } from './pull-progress.ts';
import type { PullProgress } from './pull-options.ts';
import type { UnpackLayer } from './pull-unpack.ts';

/** How a layer comes, and who hears of its unpacking. */
export interface LayerFetch {
  readonly steps: ObjectSteps;
  readonly fetched: Promise<'exists' | 'fetched'>;
}

/** The layers of one image on their way: each digest is fetched once, each place in the stack is shown and unpacked. */
export class Layers {
  readonly layers: readonly UnpackLayer[];
  readonly fetches: readonly Promise<unknown>[];
  fetchedAt = performance.now();
  unpackTime = 0;

  constructor(
    tell: (event: PullProgress) => void,
    layers: readonly Descriptor[],
    diffIds: readonly string[],
    fetch: (layer: Descriptor, show: LayerProgress) => LayerFetch,
  ) {
    const byDigest = new Map<string, LayerFetch & { show: LayerProgress }>();
    for (const layer of layers) {
      if (byDigest.has(layer.digest)) continue;
      const show = new LayerProgress(layer.digest, layer.size, tell);
      const { steps, fetched: coming } = fetch(layer, show);
      const fetched = coming.then((how) => {
        this.fetchedAt = performance.now();
        if (how === 'fetched') show.enter('downloaded');
        return how;
      });
      byDigest.set(layer.digest, { show, steps, fetched });
    }
    this.fetches = [...byDigest.values()].map(({ fetched }) => fetched);
    this.layers = layers.map((descriptor, at) => {
      const { show, steps, fetched } = byDigest.get(descriptor.digest)!;
      return this.#layer(descriptor, diffIds[at] ?? '', show, steps, fetched);
    });
  }

  #layer(
    descriptor: Descriptor,
    diffId: string,
    show: LayerProgress,
    steps: ObjectSteps,
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
        steps.enter('extracting');
      },
      progress: (bytes) => {
        show.bytes(bytes);
        steps.bytes('extracting', bytes);
      },
      finished: (unpacked) => {
        if (unpacked) this.unpackTime += performance.now() - began;
        if (unpacked) steps.enter('extracted');
        void fetched.then((how) => show.enter(unpacked || how === 'fetched' ? 'done' : 'exists'));
      },
    };
  }
}
