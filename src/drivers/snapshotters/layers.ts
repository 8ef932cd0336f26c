import { mkdir, opendir, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { invalid, messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { SnapshotId } from '#core/snapshots.ts';
import { explainSpace } from '#sys/space.ts';
import { trees } from '#sys/trees.ts';

const codeIs = (error: unknown, ...codes: string[]): boolean =>
  codes.includes((error as NodeJS.ErrnoException | undefined)?.code ?? '');

/**
 * The directories of a snapshotter, `<root>/<id>`. Each appears whole, by a rename, and disappears by one: whatever was
 * half made or half deleted when the machine stopped bears another name and is swept at the next start.
 */
export class LayerDirectories {
  readonly root: string;

  private constructor(root: string) {
    this.root = root;
  }

  static async open(root: string, logger: Logger, signal: AbortSignal): Promise<LayerDirectories> {
    await mkdir(root, { recursive: true, mode: 0o700 });
    const directories = new LayerDirectories(root);
    for await (const { name } of await opendir(root)) {
      // In the background: gigabytes may lie there, and nobody waits for them to go.
      if (/^(?:new|rm)-/.test(name)) {
        trees.remove(path.join(root, name), signal).catch((error: unknown) => {
          if (!signal.aborted)
            logger.log('warn', 'cannot remove what an interrupted snapshot left', {
              path: path.join(root, name),
              reason: messageOf(error),
            });
        });
      }
    }
    return directories;
  }

  path(id: SnapshotId, ...below: string[]): string {
    if (!/^[0-9]{1,19}$/.test(id)) throw invalid(`snapshot id "${id}": want a decimal number`);
    return path.join(this.root, id, ...below);
  }

  /** Makes `<root>/<id>` by filling a directory elsewhere. Does nothing when it is there. */
  async make(id: SnapshotId, signal: AbortSignal, fill: (directory: string) => Promise<void>): Promise<void> {
    signal.throwIfAborted();
    const place = this.path(id);
    if (await exists(place)) return;
    // Names of what is under way differ even for one id, so two calls at once do not mix.
    const temporary = path.join(this.root, `new-${id}-${process.pid}-${++serial}`);
    try {
      await mkdir(temporary, { mode: 0o700 });
      await fill(temporary);
      signal.throwIfAborted();
      await rename(temporary, place);
    } catch (error) {
      await trees.remove(temporary, AbortSignal.timeout(60_000));
      if (codeIs(error, 'EEXIST', 'ENOTEMPTY')) return;
      throw signal.aborted ? error : explainSpace(error, this.root, `making snapshot ${id}`);
    }
  }

  async remove(id: SnapshotId, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const doomed = path.join(this.root, `rm-${id}-${process.pid}-${++serial}`);
    try {
      await rename(this.path(id), doomed);
    } catch (error) {
      if (codeIs(error, 'ENOENT')) return;
      throw error;
    }
    await trees.remove(doomed, signal);
  }

  async *list(signal: AbortSignal): AsyncIterable<SnapshotId> {
    for await (const { name } of await opendir(this.root)) {
      signal.throwIfAborted();
      if (/^[0-9]{1,19}$/.test(name)) yield name as SnapshotId;
    }
  }
}

let serial = 0;

async function exists(place: string): Promise<boolean> {
  try {
    await stat(place);
    return true;
  } catch (error) {
    if (codeIs(error, 'ENOENT')) return false;
    throw error;
  }
}
