import type { Call } from '#base/call.ts';
import { parseDigest } from '#base/digest.ts';
import { alreadyExists, invalid, messageOf, notFound } from '#base/errors.ts';
import { classTwice, labelField, parseFilters } from '#base/filters.ts';
import { checkLabels } from '#base/identifiers.ts';
import { now } from '#base/moment.ts';
import type { Descriptor, Image } from '#core/images.ts';
import type { Ledger } from '#metadata/ledger.ts';
import type { Events } from './events.ts';
import { keptLabels, maskedLabels, ownValue, present, refusePath } from './fields.ts';
import type { GarbageCollector } from './gc.ts';
import { hold, release } from './holds.ts';

export type NewImage = Omit<Image, 'createdAt' | 'updatedAt'> & {
  /** The date to write down in place of the present one, for builds that are to come out the same each time. */
  readonly epoch?: Date;
};

export interface ImagesParts {
  readonly ledger: Ledger;
  readonly events: Events;
  readonly gc: Pick<GarbageCollector, 'run'>;
}

/** Names of images. */
export class Images {
  readonly #ledger: Ledger;
  readonly #events: Events;
  readonly #gc: ImagesParts['gc'];

  constructor(parts: ImagesParts) {
    this.#ledger = parts.ledger;
    this.#events = parts.events;
    this.#gc = parts.gc;
  }

  get(call: Call, name: string): Image {
    const image = this.find(call, name);
    if (image === undefined) throw notFound('image', name);
    return image;
  }

  find(call: Call, name: string): Image | undefined {
    return this.#ledger.images.find(call.namespace, name);
  }

  list(call: Call, filters: readonly string[]): IteratorObject<Image> {
    const match = parseFilters(filters, classTwice);
    return this.#ledger.images.list(call.namespace).filter((image) => match((path) => imageField(image, path)));
  }

  async create(call: Call, given: NewImage): Promise<Image> {
    check(given);
    const at = given.epoch ?? now();
    const image: Image = {
      name: given.name,
      labels: keptLabels(given.labels),
      target: given.target,
      createdAt: at,
      updatedAt: at,
    };
    this.#ledger.transaction(() => {
      this.#hold(call, image);
      if (this.find(call, image.name) !== undefined) throw alreadyExists('image', image.name);
      this.#ledger.namespaces.ensure(call.namespace);
      this.#ledger.images.put(call.namespace, image);
      this.#publish(call, '/images/create', 'ImageCreate', image);
    });
    await this.#ledger.durable();
    return image;
  }

  /** `paths` is a field mask; empty replaces labels and target. */
  async update(call: Call, given: NewImage, paths: readonly string[]): Promise<Image> {
    if (given.name === '') throw invalid('image name is required for update: invalid argument');
    const updated = this.#ledger.transaction(() => {
      const before = this.get(call, given.name);
      let target = paths.length === 0 ? given.target : before.target;
      const labels = maskedLabels(before.labels, given.labels, paths, (path) => {
        target = maskedTarget(target, given, path);
      });
      const image: Image = {
        name: before.name,
        labels: keptLabels(labels),
        target,
        createdAt: before.createdAt,
        updatedAt: given.epoch ?? now(),
      };
      check(image);
      this.#hold(call, image);
      this.#ledger.images.put(call.namespace, image);
      this.#publish(call, '/images/update', 'ImageUpdate', image);
      return image;
    });
    await this.#ledger.durable();
    return updated;
  }

  /** `sync` waits until what nothing else holds is gone from disk. */
  async delete(call: Call, name: string, options: { sync: boolean }): Promise<void> {
    this.#ledger.transaction(() => {
      if (!this.#ledger.images.delete(call.namespace, name)) throw notFound('image', name);
      release(this.#ledger, call, { type: 'images', id: name });
      this.#events.publish(call.namespace, '/images/delete', { kind: 'plain', type: 'ImageDelete', fields: { name } });
    });
    await this.#ledger.durable();
    if (options.sync) await this.#gc.run(call.signal);
  }

  /** An image that never expires needs no lease: it is a root of the collector by itself. */
  #hold(call: Call, image: Image): void {
    if (image.labels['containerd.io/gc.expire'] === undefined) return;
    hold(this.#ledger, call, { type: 'images', id: image.name });
  }

  #publish(call: Call, topic: string, type: string, image: Image): void {
    const fields = { name: image.name, labels: image.labels };
    this.#events.publish(call.namespace, topic, { kind: 'plain', type, fields });
  }
}

function maskedTarget(target: Descriptor, given: NewImage, path: string): Descriptor {
  const annotations = given.target.annotations ?? {};
  if (path === 'target') return given.target;
  if (path === 'annotations') return { ...target, annotations };
  if (path.startsWith('annotations.')) {
    const key = path.slice('annotations.'.length);
    return { ...target, annotations: keptLabels({ ...target.annotations, [key]: ownValue(annotations, key) ?? '' }) };
  }
  return refusePath(path, `image ${JSON.stringify(given.name)}`);
}

function check(image: NewImage): void {
  if (image.name === '') throw invalid('image name must not be empty: invalid argument');
  checkLabels(image.labels, 'image.Labels');
  const { digest, size, mediaType } = image.target;
  try {
    parseDigest(digest);
  } catch (error) {
    const problem = messageOf(error).replace(/: "[^"]*"$/, '');
    throw invalid(`Target.Digest ${JSON.stringify(digest)} invalid: ${problem}: invalid argument`);
  }
  if (!(size > 0)) throw invalid('Target.Size must be greater than zero: invalid argument');
  if (mediaType === '') throw invalid('Target.MediaType must be set: invalid argument');
}

function imageField(image: Image, path: readonly string[]): string | undefined {
  const [first, ...rest] = path;
  if (first === 'name') return present(image.name);
  if (first === 'labels') return labelField(image.labels, rest);
  if (first === 'annotations') return labelField(image.target.annotations ?? {}, rest);
  if (first !== 'target') return undefined;
  if (rest[0] === 'digest') return present(image.target.digest);
  if (rest[0] === 'mediatype') return present(image.target.mediaType);
  return undefined;
}
