import { readFileSync } from 'node:fs';
import { mkdir, open, readdir, rm, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { ThreadPool } from '#base/threads.ts';
import { unmountAll } from '#sys/mount.ts';

/** Network namespaces, each kept alive by a bind mount on `directory/NAMESPACE/ID`. */
export class Netns {
  readonly #directory: string;
  readonly #threads = new ThreadPool(new URL('./netns-worker.ts', import.meta.url), 1);

  constructor(directory: string) {
    this.#directory = directory;
  }

  path(namespace: string, id: string): string {
    return path.join(this.#directory, namespace, id);
  }

  /** Makes it with its loopback up. One that is there is kept. */
  async create(namespace: string, id: string, signal: AbortSignal): Promise<string> {
    const file = this.path(namespace, id);
    if (isMounted(file)) return file;
    await mkdir(path.dirname(file), { recursive: true, mode: 0o711 });
    await (await open(file, 'a', 0o444)).close();
    try {
      await this.#threads.run({ path: file }, signal);
    } catch (error) {
      await this.remove(namespace, id);
      throw error;
    }
    return file;
  }

  /** The kernel frees it when its last process has gone too. Idempotent. */
  async remove(namespace: string, id: string): Promise<void> {
    const file = this.path(namespace, id);
    unmountAll(file);
    await rm(file, { force: true });
    // The last one of a namespace takes the directory along.
    await rmdir(path.dirname(file)).catch(() => {});
  }

  async list(): Promise<{ namespace: string; id: string }[]> {
    const found: { namespace: string; id: string }[] = [];
    for (const namespace of await namesIn(this.#directory)) {
      for (const id of await namesIn(path.join(this.#directory, namespace))) found.push({ namespace, id });
    }
    return found;
  }

  close(): void {
    this.#threads.end();
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return [];
    throw error;
  }
}

/** proc_pid_mountinfo(5) writes blanks in octal. */
function isMounted(file: string): boolean {
  const escaped = file.replace(
    /[ \t\n\\]/g,
    (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );
  return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${escaped} `);
}
