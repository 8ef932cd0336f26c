import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { NetworkStatus, PortMapping } from '#core/network.ts';
import type { CniConfig, CniResult } from './cni.ts';

/** What was asked of plugins for a container: enough to ask for the opposite, whatever has happened since. */
export interface Attachment {
  readonly namespace: string;
  readonly id: string;
  readonly netns: string;
  /** In the order they were called. */
  readonly plugins: readonly CniConfig[];
  readonly ports: readonly PortMapping[];
  /** Absent while the plugins are at work, and for ever when the daemon was killed then. */
  readonly result?: CniResult;
  readonly status?: NetworkStatus;
}

const keyOf = (namespace: string, id: string): string => `${namespace}/${id}`;

/** Attachments, one small file each: written before the plugins are called, removed after they have taken all back. */
export class Attachments {
  readonly #directory: string;
  readonly #known = new Map<string, Attachment>();

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const namespace of readdirSync(directory)) {
      for (const file of readdirSync(path.join(directory, namespace))) this.#load(namespace, file);
    }
  }

  find(namespace: string, id: string): Attachment | undefined {
    return this.#known.get(keyOf(namespace, id));
  }

  list(): Attachment[] {
    return [...this.#known.values()];
  }

  put(attachment: Attachment): void {
    const { namespace, id } = attachment;
    const file = this.#file(namespace, id);
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(`${file}.new`, JSON.stringify(attachment), { mode: 0o600 });
    renameSync(`${file}.new`, file);
    this.#known.set(keyOf(namespace, id), attachment);
  }

  remove(namespace: string, id: string): void {
    rmSync(this.#file(namespace, id), { force: true });
    this.#known.delete(keyOf(namespace, id));
  }

  #file(namespace: string, id: string): string {
    return path.join(this.#directory, namespace, `${id}.json`);
  }

  #load(namespace: string, file: string): void {
    const whole = path.join(this.#directory, namespace, file);
    try {
      if (!file.endsWith('.json')) throw new Error('left by a kill');
      const attachment = JSON.parse(readFileSync(whole, 'utf8')) as Attachment;
      this.#known.set(keyOf(namespace, attachment.id), attachment);
    } catch {
      // Not whole: renaming is the last step, so nothing was asked of any plugin by then.
      rmSync(whole, { force: true });
    }
  }
}
