/** Our end of a FIFO that a process reads from. */
export interface StreamWriter {
  /** Resolves when more is welcome. failed-precondition when the reader is gone. */
  write(data: Uint8Array): Promise<void>;
  /** The process's side has been opened by whoever runs it: from now on the end of input is told by `close`. */
  connected(): void;
  close(): Promise<void>;
}

/** Our end of a FIFO that a process writes to. */
export interface StreamReader {
  /** What is written, until every writer has closed and `connected` was called. */
  readonly data: AsyncIterable<Uint8Array>;
  /** The process's side has been opened: from now on the last writer's close ends `data`. */
  connected(): void;
  /** Reads on into nothing until the end: who writes must not be stopped by a reader that lost interest. */
  discard(): void;
  /** Stops reading now; `data` ends. Idempotent. */
  close(): void;
}

/** The daemon's own pipes and the files it follows. It is a client of its tasks like any other. */
export interface Streams {
  /** Makes a FIFO, its directory included. One that is there is kept. */
  createFifo(path: string): Promise<void>;
  /** Opens for writing, at once, reader or not. */
  openWriter(path: string): StreamWriter;
  /** Opens for reading, at once, writer or not. */
  openReader(path: string): StreamReader;
  /**
   * Bytes of a growing file from `offset` on (`end`: only what comes from now on), as they come. Opens the file before
   * it returns, so that removing it later takes nothing away. Ends at the end of the file once `finished` has settled,
   * and with the signal. A file that does not exist is empty, and is waited for until `finished`.
   */
  follow(
    path: string,
    offset: number | 'end',
    finished: Promise<unknown>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>>;
  /**
   * As `follow`, of a spool, whose writer gives back what everyone has read. What was given back already is left out;
   * what is still to be read is locked (OFD locks, fcntl_locking(2)), so the writer keeps it, and waits in the end for a
   * reader that does not go on. The lock goes with the iteration's end, with the signal, or with this process.
   */
  followSpool(
    path: string,
    offset: number | 'end',
    finished: Promise<unknown>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>>;
}
