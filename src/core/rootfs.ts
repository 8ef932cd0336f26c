import type { Mount } from './mounts.ts';

/**
 * Looks into root file systems on behalf of a spec: who is in /etc/passwd, what an image keeps where a volume goes.
 * Paths are a container's own: they are resolved inside its root, and no link in it leads outside.
 */
export interface RootfsReader {
  /**
   * Whole small files of a tree that is described by mounts. It is read as it is on disk: the tree need not be mounted
   * anywhere, and is not changed. undefined where there is no such regular file; resource-exhausted past 4 MiB.
   */
  readFiles(
    mounts: readonly Mount[],
    paths: readonly string[],
    signal: AbortSignal,
  ): Promise<(Uint8Array | undefined)[]>;
  /** The same for the root a live process sees, changes included. not-found when the process is gone. */
  readFilesOf(pid: number, paths: readonly string[], signal: AbortSignal): Promise<(Uint8Array | undefined)[]>;
  /**
   * Fills the directory `target` of the host with what the tree has in `path`, owners, modes and extended attributes
   * included, and gives `target` the owner and mode of `path`. False, and nothing done, when there is no such directory.
   */
  copyUp(mounts: readonly Mount[], path: string, target: string, signal: AbortSignal): Promise<boolean>;
}
