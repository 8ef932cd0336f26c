import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { alreadyExists, HakoError } from '#base/errors.ts';
import { unmountAll } from '#sys/mount.ts';

/** The directories in which things are described to shim and OCI runtimes: `<state>/<tasks or sandboxes>/<namespace>/<id>`. */
export class Bundles {
  readonly #kind: 'task' | 'sandbox';
  readonly #root: string;

  constructor(state: string, kind: 'task' | 'sandbox' = 'task') {
    this.#kind = kind;
    this.#root = path.join(state, kind === 'task' ? 'tasks' : 'sandboxes');
  }

  /** Namespaces and ids are checked where they come in; a path that leads elsewhere is refused here all the same. */
  path(namespace: string, id: string): string {
    for (const part of [namespace, id]) {
      if (part === '' || part === '.' || part === '..' || part.includes('/')) {
        throw new HakoError('invalid-argument', `"${part}" cannot name a ${this.#kind} or a namespace`);
      }
    }
    return path.join(this.#root, namespace, id);
  }

  /** already-exists when there is a bundle of that name. One without a spec has no config.json. */
  async create(namespace: string, id: string, spec: Uint8Array | undefined, extras: object): Promise<string> {
    const bundle = this.path(namespace, id);
    await mkdir(path.dirname(bundle), { recursive: true, mode: 0o711 });
    try {
      // Others must reach the rootfs: containers of user namespaces are not root here.
      await mkdir(bundle, { mode: 0o711 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw alreadyExists(this.#kind, id);
      throw error;
    }
    try {
      await Promise.all([
        mkdir(path.join(bundle, 'rootfs'), { mode: 0o711 }),
        spec === undefined ? undefined : writeFile(path.join(bundle, 'config.json'), spec, { mode: 0o600 }),
        writeFile(path.join(bundle, 'shim.json'), JSON.stringify(extras), { mode: 0o600 }),
      ]);
      return bundle;
    } catch (error) {
      await this.remove(namespace, id);
      throw error;
    }
  }

  /** Idempotent. What is still mounted goes first: its content is not ours to delete. */
  async remove(namespace: string, id: string): Promise<void> {
    const bundle = this.path(namespace, id);
    unmountAll(path.join(bundle, 'rootfs'));
    await rm(bundle, { recursive: true, force: true });
  }

  async list(): Promise<{ namespace: string; id: string }[]> {
    const found: { namespace: string; id: string }[] = [];
    for (const namespace of await names(this.#root)) {
      for (const id of await names(path.join(this.#root, namespace))) found.push({ namespace, id });
    }
    return found;
  }
}

async function names(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
