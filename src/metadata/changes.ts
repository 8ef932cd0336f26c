/** A row that was made, changed or deleted, of the tables whose rows hold things or are held. */
export interface Change {
  readonly kind: 'namespace' | 'container' | 'image' | 'content' | 'ingest' | 'snapshot' | 'lease' | 'sandbox';
  readonly namespace: string;
  /** Id, name, digest or ref; of a snapshot the id of its row, since its key may change. */
  readonly name: string;
  /** True when it was deleted. */
  readonly gone?: boolean;
  /** What a lease has been given. */
  readonly resource?: { readonly type: string; readonly id: string };
  /** Of a sandbox. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** What goes on in the ledger, for the garbage collector. Tables record, after they have written. */
export class Changes {
  readonly #afterCommit: (callback: () => void) => void;
  readonly #watchers = new Set<(change: Change) => void>();
  readonly #mutations = new Set<(deleted: boolean) => void>();
  #transaction: { deleted: boolean } | undefined;

  constructor(afterCommit: (callback: () => void) => void) {
    this.#afterCommit = afterCommit;
  }

  record(change: Change): void {
    for (const watch of this.#watchers) watch(change);
    if (this.#mutations.size === 0) return;
    const transaction = (this.#transaction ??= { deleted: false });
    transaction.deleted ||= change.gone === true;
    this.#afterCommit(() => {
      // One call for all that a transaction has changed.
      if (this.#transaction !== transaction) return;
      this.#transaction = undefined;
      for (const tell of this.#mutations) tell(transaction.deleted);
    });
  }

  /** Calls `watch` with each change at once, inside its transaction, which may still come to nothing. Gives the end of it. */
  watch(watch: (change: Change) => void): () => void {
    this.#watchers.add(watch);
    return () => this.#watchers.delete(watch);
  }

  /** Calls `tell` after each transaction that changed something; `deleted` says whether a row went. */
  onMutation(tell: (deleted: boolean) => void): () => void {
    this.#mutations.add(tell);
    return () => this.#mutations.delete(tell);
  }
}
