import type { Call } from '#base/call.ts';
import { parseDigest } from '#base/digest.ts';
import type { Descriptor } from '#core/images.ts';
import type { Registry, RegistryOptions } from '#core/registry.ts';
import type { Content } from './content.ts';
import { isIndex, isManifest } from './pull-manifest.ts';

export interface RegistryObjectsParts {
  readonly registry: Registry;
  readonly content: Content;
}

/** Bytes read at once. */
const chunkSize = 256 * 1024;

/** Single objects of registries, for who wants to look at one or put one there. */
export class RegistryObjects {
  readonly #parts: RegistryObjectsParts;

  constructor(parts: RegistryObjectsParts) {
    this.#parts = parts;
  }

  resolve(call: Call, reference: string, options: RegistryOptions): Promise<Descriptor> {
    return this.#parts.registry.resolve(reference, options, call.signal);
  }

  /** What the reference points at, or another object of its repository, and its bytes; they are not checked. */
  async fetch(
    call: Call,
    reference: string,
    object: { readonly digest: string; readonly mediaType: string },
    options: RegistryOptions,
  ): Promise<{ target: Descriptor; data: AsyncIterable<Uint8Array> }> {
    if (object.digest !== '') parseDigest(object.digest);
    const target = object.digest === '' ? await this.resolve(call, reference, options) : { ...object, size: -1 };
    return { target, data: await this.#parts.registry.fetch(reference, target, 0, options, call.signal) };
  }

  /** Sends an object of the content store; true when the registry had it. */
  async push(
    call: Call,
    reference: string,
    object: { readonly digest: string; readonly mediaType: string },
    options: RegistryOptions,
  ): Promise<boolean> {
    const { registry, content } = this.#parts;
    const { size } = content.info(call, object.digest);
    const target = { ...object, size };
    if (isIndex(target) || isManifest(target)) {
      const bytes = await content.readAll(call, object.digest);
      await registry.pushManifest(reference, target, bytes, options, call.signal);
      return false;
    }
    const data = (): AsyncIterable<Uint8Array> => this.#read(call, target);
    return (await registry.pushBlob(reference, target, data, options, call.signal)) === 'exists';
  }

  async *#read(call: Call, { digest, size }: Descriptor): AsyncGenerator<Uint8Array> {
    await using blob = await this.#parts.content.open(call, digest);
    for (let offset = 0; offset < size;) {
      const chunk = await blob.read(offset, Math.min(chunkSize, size - offset), call.signal);
      if (chunk.length === 0) return;
      yield chunk;
      offset += chunk.length;
    }
  }
}
