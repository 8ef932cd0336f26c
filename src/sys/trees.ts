import { open } from 'node:fs/promises';
import { ThreadPool } from '#base/threads.ts';
import { bytesOf } from './at.ts';
import type { TreeWeight } from './tree.ts';

export type TreeRequest =
  | { readonly do: 'weigh' | 'remove' | 'sync'; readonly path: string }
  | { readonly do: 'weigh difference'; readonly path: string; readonly beneath: string }
  | { readonly do: 'copy'; readonly path: string; readonly to: string };

const pool = new ThreadPool(new URL('tree-worker.ts', import.meta.url), 2);
const ask = (request: TreeRequest, signal: AbortSignal): Promise<unknown> => pool.run(request, signal);

/**
 * Work on whole trees, in worker threads so that the event loop goes on. All of them stop when `signal` ends, and have
 * stopped when they reject.
 */
export const trees = {
  /** What a tree takes on disk, counted as du(1) does. */
  weigh: async (path: string, signal: AbortSignal): Promise<TreeWeight> =>
    (await ask({ do: 'weigh', path: bytesOf(path) }, signal)) as TreeWeight,
  /** What a tree takes that one beneath it, which it began as a copy of, does not. */
  weighDifference: async (path: string, beneath: string, signal: AbortSignal): Promise<TreeWeight> =>
    (await ask({ do: 'weigh difference', path: bytesOf(path), beneath: bytesOf(beneath) }, signal)) as TreeWeight,
  /** Deletes a tree. Idempotent. */
  remove: async (path: string, signal: AbortSignal): Promise<void> =>
    void (await ask({ do: 'remove', path: bytesOf(path) }, signal)),
  /** Copies a tree whole: owners, modes, times, attributes, hard links. `to` must be missing or empty. */
  copy: async (path: string, to: string, signal: AbortSignal): Promise<void> =>
    void (await ask({ do: 'copy', path: bytesOf(path), to: bytesOf(to) }, signal)),
  /** syncfs(2) of the file system that holds the path. */
  sync: async (path: string, signal: AbortSignal): Promise<void> =>
    void (await ask({ do: 'sync', path: bytesOf(path) }, signal)),
};

/** Makes what was created, renamed or deleted in a directory survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  await using handle = await open(path, 'r');
  await handle.sync();
}
