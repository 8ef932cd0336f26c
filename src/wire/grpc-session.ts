import type { ServerOptions } from 'node:http2';

/** How much one call, and all calls of a connection, may send before the receiver has read it, in bytes. */
export const streamWindow = 4 * 1024 * 1024;
export const sessionWindow = 32 * 1024 * 1024;

/**
 * Node's own defaults are made for browsers: they end a connection after a hundred slow streams or a thousand
 * cancelled ones. Our guests share one connection for hundreds of calls, cancel as they please and are trusted with
 * the machine, so the limits only have to stop what has gone wild.
 */
export const sessionOptions = {
  /** In megabytes, of all streams together. */
  maxSessionMemory: 100_000,
  maxSessionInvalidFrames: 1_000_000,
  maxSessionRejectedStreams: 1_000_000,
  streamResetBurst: 1_000_000,
  streamResetRate: 100_000,
  settings: { initialWindowSize: streamWindow, maxFrameSize: 64 * 1024, maxConcurrentStreams: 65_536 },
} as const satisfies ServerOptions;
