import type { PullProgress } from './pull.ts';

type Stage = Extract<PullProgress, { kind: 'layer' }>['stage'];

/** At most this often for one layer, in milliseconds: a client draws no faster. */
const interval = 100;

/** Tells how one layer goes: each stage once, bytes now and then. */
export class LayerProgress {
  readonly #digest: string;
  readonly #total: number;
  readonly #tell: (event: PullProgress) => void;
  #stage: Stage | undefined;
  #last = 0;

  constructor(digest: string, total: number, tell: (event: PullProgress) => void) {
    this.#digest = digest;
    this.#total = total;
    this.#tell = tell;
  }

  /** A new stage. Only `exists`, `downloaded` and `done` are whole; a layer that is done says nothing more. */
  enter(stage: Stage): void {
    if (this.#stage === stage || this.#stage === 'done') return;
    this.#stage = stage;
    this.#send(stage === 'exists' || stage === 'downloaded' || stage === 'done' ? this.#total : 0);
  }

  /** Bytes of the present stage so far. */
  bytes(count: number): void {
    if (this.#stage === undefined || this.#stage === 'done') return;
    if (performance.now() - this.#last < interval && count < this.#total) return;
    this.#send(Math.min(count, this.#total));
  }

  #send(bytes: number): void {
    if (this.#stage === undefined) return;
    this.#last = performance.now();
    this.#tell({ kind: 'layer', digest: this.#digest, stage: this.#stage, bytes, total: this.#total });
  }
}
