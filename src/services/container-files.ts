import { mkdir, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Ledger } from '#metadata/ledger.ts';

/** What a container has on disk beside its tree: `ROOT/containers/NAMESPACE/ID`, from its first task to its end. */
export class ContainerFiles {
  readonly #base: string;

  constructor(root: string) {
    this.#base = join(root, 'containers');
  }

  /** Where records of the output go, over all runs. */
  log(namespace: string, id: string): string {
    return join(this.#base, namespace, id, 'log.json');
  }

  async make(namespace: string, id: string): Promise<void> {
    await mkdir(dirname(this.log(namespace, id)), { recursive: true, mode: 0o711 });
  }

  /** Idempotent. */
  async remove(namespace: string, id: string): Promise<void> {
    await rm(join(this.#base, namespace, id), { recursive: true, force: true });
  }

  /** Removes directories of containers that are gone: a kill may have come between row and disk. */
  async removeStrays(ledger: Ledger): Promise<void> {
    const names = (path: string): Promise<string[]> => readdir(path).catch(() => []);
    for (const namespace of await names(this.#base)) {
      for (const id of await names(join(this.#base, namespace))) {
        if (!ledger.containers.has(namespace, id)) await this.remove(namespace, id);
      }
    }
  }
}
