import type { Labels } from '#core/any.ts';

const OWNER_LABEL = 'io.hakobune.owner';
/** Keeps a thing from the remote side's own garbage collector, which knows nothing of who needs it here. */
const ROOT_LABEL = 'containerd.io/gc.root';

/** Whether a label was put there by us, and means nothing to our clients. */
export const isOurs = (label: string): boolean => label === OWNER_LABEL || label === ROOT_LABEL;

/** How the things that we keep at a remote side are told from those of others. */
export class Marks {
  readonly #owner: string;

  constructor(owner: string) {
    this.#owner = owner;
  }

  /** The filter that finds them. */
  get filter(): string {
    return `labels."${OWNER_LABEL}"==${JSON.stringify(this.#owner)}`;
  }

  labels(): Labels {
    return { [OWNER_LABEL]: this.#owner, [ROOT_LABEL]: new Date().toISOString() };
  }

  areOn(labels: Labels): boolean {
    return labels[OWNER_LABEL] === this.#owner;
  }
}
