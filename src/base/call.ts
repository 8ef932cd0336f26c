/** One request as it travels above the waterline. Below it only the signal goes on. */
export interface Call {
  readonly namespace: string;
  /** Objects made by this call are held by this lease, when there is one. */
  readonly lease?: string;
  /** Ends with the caller, its deadline or the daemon. */
  readonly signal: AbortSignal;
}

/** Undo runs under this signal, never under the caller's dead one: fresh, and ten seconds long. */
export const cleanupSignal = (): AbortSignal => AbortSignal.timeout(10_000);
