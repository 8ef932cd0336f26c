import type { Descriptor, Digest } from '#core/images.ts';
import { uploadRef } from './pull-manifest.ts';
import type { ObjectProgress, PullProgress } from './pull-options.ts';

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

/** Which objects lead to which, and how far each is: a pull's or a push's whole tree. */
export class ObjectTrack {
  readonly #root: string;
  readonly #parents = new Map<Digest, string[]>();

  constructor(root: string) {
    this.#root = root;
  }

  /** Names of the objects that were found to lead to this one so far. */
  parents({ digest }: Descriptor): readonly string[] {
    return this.#parents.get(digest) ?? [this.#root];
  }

  lead(parent: Descriptor, children: readonly Descriptor[]): void {
    const name = uploadRef(parent);
    for (const { digest } of children) {
      const known = this.#parents.get(digest);
      if (known === undefined) this.#parents.set(digest, [name]);
      else if (!known.includes(name)) known.push(name);
    }
  }
}

/** Tells how one object goes: each stage once, bytes now and then. */
export class ObjectSteps {
  readonly #target: Descriptor;
  readonly #parents: readonly string[];
  readonly #tell: (event: PullProgress) => void;
  #last = 0;

  constructor(target: Descriptor, track: ObjectTrack, tell: (event: PullProgress) => void) {
    this.#target = target;
    this.#parents = [...track.parents(target)];
    this.#tell = tell;
  }

  enter(stage: ObjectProgress['stage']): void {
    const whole = stage === 'exists' || stage === 'complete' || stage === 'extracted';
    this.#send(stage, whole ? this.#target.size : 0);
  }

  bytes(stage: 'downloading' | 'extracting', count: number): void {
    if (performance.now() - this.#last < interval) return;
    this.#send(stage, Math.min(count, this.#target.size));
  }

  #send(stage: ObjectProgress['stage'], bytes: number): void {
    this.#last = performance.now();
    const name = uploadRef(this.#target);
    this.#tell({ kind: 'object', stage, name, parents: this.#parents, target: this.#target, bytes });
  }
}
