import type { Descriptor } from '#core/images.ts';
import type { ObjectProgress, PushedObject } from '../pull-options.ts';
import type { TransferProgress } from './ends.ts';

/** All of an object that does not change. */
type Whole = Omit<TransferProgress, 'event'> & { readonly name: string; readonly total: number };

/** How often a client hears of what moves, in milliseconds, as with containerd. */
const interval = 300;

/**
 * Tells of objects as containerd does: at once when one begins to wait or is there already, and all that has moved since
 * then three times a second, and once more at the end.
 */
export class ObjectTeller implements Disposable {
  readonly #tell: (progress: TransferProgress) => void;
  readonly #quiet: (target: Descriptor) => boolean;
  /** What will be told when it is unpacked. */
  readonly #held = new Map<string, () => void>();
  readonly #moved = new Map<string, TransferProgress>();
  readonly #known = new Set<string>();
  readonly #timer: NodeJS.Timeout;

  /** Of what is `quiet` and there already, nothing is told unless it is unpacked. */
  constructor(tell: (progress: TransferProgress) => void, quiet: (target: Descriptor) => boolean = () => false) {
    this.#tell = tell;
    this.#quiet = quiet;
    this.#timer = setInterval(() => this.flush(), interval);
  }

  downloaded({ stage, name, parents, target, bytes }: ObjectProgress): void {
    const whole = { name, parents, target, total: target.size };
    if (stage === 'waiting' && this.#quiet(target)) this.#held.set(name, () => this.#waiting(whole));
    else if (stage === 'waiting') this.#waiting(whole);
    else if (stage === 'exists' && this.#held.has(name)) this.#held.set(name, () => this.#both(whole));
    else if (stage === 'exists') this.#exists(whole);
    else this.#release(name);
    if (stage === 'complete') this.#moved.set(name, { ...whole, event: 'complete', progress: target.size });
    else if (stage === 'downloading') this.#moved.set(name, { ...whole, event: 'downloading', progress: bytes });
  }

  uploaded({ stage, name, parents, target, bytes }: PushedObject): void {
    const whole = { name, parents, target, total: target.size };
    if (stage === 'waiting') this.#waiting(whole);
    // A blob that was mounted is there without having moved.
    else if (stage === 'exists' || stage === 'mounted') this.#exists(whole);
    else if (stage === 'pushed') this.#moved.set(name, { ...whole, event: 'complete', progress: target.size });
    else this.#moved.set(name, { ...whole, event: 'uploading', progress: bytes });
  }

  /** Tells what has moved and was not told yet. */
  flush(): void {
    for (const progress of this.#moved.values()) this.#tell(progress);
    this.#moved.clear();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #release(name: string): void {
    this.#held.get(name)?.();
    this.#held.delete(name);
  }

  #both(whole: Whole): void {
    this.#waiting(whole);
    this.#exists(whole);
  }

  #waiting(whole: Whole): void {
    if (this.#known.has(whole.name)) return;
    this.#known.add(whole.name);
    this.#tell({ ...whole, event: 'waiting', progress: 0 });
  }

  #exists({ name, total, target }: Whole): void {
    this.#moved.delete(name);
    // Where it belongs was told when it began to wait.
    this.#tell({ name, total, ...(target !== undefined && { target }), event: 'already exists', progress: total });
  }
}
