import { ThreadPool } from '#base/threads.ts';

export type SubvolumeRequest =
  | { readonly do: 'create' | 'delete'; readonly directory: string; readonly name: string }
  | {
      readonly do: 'snapshot';
      readonly from: string;
      readonly directory: string;
      readonly name: string;
      readonly readonly: boolean;
    }
  | { readonly do: 'seal' | 'id'; readonly path: string };

const pool = new ThreadPool(new URL('btrfs-worker.ts', import.meta.url), 1);
const ask = (request: SubvolumeRequest, signal: AbortSignal): Promise<unknown> => pool.run(request, signal);

/** Subvolumes of btrfs, in a worker thread: each change waits for a transaction of the file system. */
export const subvolumes = {
  /** Makes an empty one in a directory. False when the name is taken. */
  create: async (directory: string, name: string, signal: AbortSignal): Promise<boolean> =>
    (await ask({ do: 'create', directory, name }, signal)) as boolean,
  /** Makes one that begins as another is now. False when the name is taken. */
  snapshot: async (
    from: string,
    directory: string,
    name: string,
    readonly: boolean,
    signal: AbortSignal,
  ): Promise<boolean> => (await ask({ do: 'snapshot', from, directory, name, readonly }, signal)) as boolean,
  /** Lets nobody write to one any more, by whatever mount. */
  seal: async (path: string, signal: AbortSignal): Promise<void> => void (await ask({ do: 'seal', path }, signal)),
  /** Deletes one with those within it. Idempotent. */
  delete: async (directory: string, name: string, signal: AbortSignal): Promise<void> =>
    void (await ask({ do: 'delete', directory, name }, signal)),
  /** What the mount option `subvolid` names one by. */
  id: async (path: string, signal: AbortSignal): Promise<number> => (await ask({ do: 'id', path }, signal)) as number,
};
