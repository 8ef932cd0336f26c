/** Where a client wants output: a FIFO's write end that is never blocked on, or a file that is appended to. */
export interface Sink {
  readonly kind: 'fifo' | 'file';
  readonly fd: number;
  readonly path: string;
}

export interface OutputPlan {
  readonly stream: 'stdout' | 'stderr';
  /** Read end of the FIFO that the container writes to, non-blocking. */
  readonly source: number;
  readonly spool: string;
  readonly sink?: Sink;
}

/** Everything that is moved for one process. Descriptors change hands: the pump closes them. */
export interface ProcessPlan {
  readonly key: string;
  /** Path of the offset file; what it says of an earlier pump is gone on with. */
  readonly offsets: string;
  readonly log?: string;
  readonly outputs: readonly OutputPlan[];
  /** A terminal: what its master gives goes into `fifo`, which `outputs[0]` reads. */
  readonly terminal?: { readonly master: number; readonly fifo: number };
}

/** What a client writes, and where it goes. */
export interface InputPlan {
  readonly from: number;
  readonly to: number;
}

export type ToPump =
  | { readonly type: 'add'; readonly plan: ProcessPlan }
  | { readonly type: 'input'; readonly key: string; readonly input: InputPlan }
  | { readonly type: 'close-input'; readonly key: string; readonly ticket: number }
  | { readonly type: 'drain'; readonly key: string; readonly grace: number; readonly ticket: number }
  | { readonly type: 'remove'; readonly key: string }
  | { readonly type: 'watch'; readonly pidfd: number; readonly ticket: number }
  | { readonly type: 'stop' };

export type FromPump =
  | { readonly type: 'done'; readonly ticket: number }
  /** The sink of a stream has been closed, so that whoever holds it too can let go. */
  | { readonly type: 'sink-closed'; readonly key: string; readonly stream: string }
  | { readonly type: 'input-closed'; readonly key: string }
  | { readonly type: 'busy'; readonly count: number }
  | { readonly type: 'warning'; readonly message: string };
