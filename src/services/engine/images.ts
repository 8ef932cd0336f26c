import type { Call } from '#base/call.ts';
import { codeOf, HakoError, invalid } from '#base/errors.ts';
import { formatReference, normalizeReference, parseReference } from '#base/reference.ts';
import type { Image } from '#core/images.ts';
import { sourcesOf } from '../pull-manifest.ts';
import type { EngineObject } from './types.ts';
import { keyedFilter, matchesLabels, type Filters } from './filters.ts';
import type { EngineHouse } from './house.ts';
import { familiarOr, findImage, readImage, repositoryOf, type ImageModel } from './image-model.ts';
import { recordOf } from './record.ts';

/** All names of one image. */
interface ImageGroup {
  readonly model: ImageModel;
  readonly names: readonly Image[];
}

/** The images of a namespace with all their names, the newest first. What is not whole is left out: it cannot be used. */
export async function imageGroups(house: EngineHouse, call: Call): Promise<ImageGroup[]> {
  const groups = new Map<string, { model: ImageModel; names: Image[] }>();
  for (const image of house.images.list(call, [])) {
    let model: ImageModel;
    try {
      model = await readImage(house, call, image.target);
    } catch (error) {
      call.signal.throwIfAborted();
      if (codeOf(error) === 'unavailable') throw error;
      continue;
    }
    const group = groups.get(model.id) ?? { model, names: [] };
    group.names.push(image);
    groups.set(model.id, group);
  }
  return [...groups.values()].toSorted((one, other) => createdOf(other) - createdOf(one));
}

/** Seconds since the epoch; images may be made without a date. */
function createdOf({ model }: ImageGroup): number {
  const time = Date.parse(model.config.created ?? '');
  return Number.isNaN(time) ? 0 : Math.trunc(time / 1000);
}

/** Bytes the unpacked image takes; of one that is not unpacked, its layers as they came. */
async function sizeOf(house: EngineHouse, call: Call, model: ImageModel): Promise<number> {
  let size = 0;
  try {
    for (let key = model.chainId; key !== '';) {
      const info = house.snapshots.stat(call, house.defaultSnapshotter, key);
      size += (await house.snapshots.usage(call, house.defaultSnapshotter, key)).bytes;
      key = info.parent;
    }
    return size;
  } catch (error) {
    if (codeOf(error) !== 'not-found') throw error;
    return model.layers.reduce((sum, layer) => sum + layer.size, 0);
  }
}

function tagsOf(names: readonly Image[]): string[] {
  return names.filter(({ name }) => !name.includes('@')).map(({ name }) => familiarOr(name));
}

/** Only of repositories the image came from: the label says which, and a mere tag adds none. */
function digestsOf(house: EngineHouse, call: Call, names: readonly Image[]): string[] {
  const digests = names.flatMap(({ name, target }) => {
    const repository = repositoryOf(name);
    const [domain = '', ...path] = repository.split('/');
    const labels = house.content.find(call, target.digest)?.labels ?? {};
    return sourcesOf(domain, labels).includes(path.join('/')) ? [familiarOr(`${repository}@${target.digest}`)] : [];
  });
  return [...new Set(digests)];
}

const known = ['before', 'dangling', 'label', 'label!', 'reference', 'since', 'until'];

/** `GET /images/json`. */
export async function images(
  house: EngineHouse,
  call: Call,
  options: { all: boolean; filters: Filters },
): Promise<EngineObject[]> {
  const { filters } = options;
  for (const key of filters.keys()) if (!known.includes(key)) throw invalid(`invalid filter '${key}'`);
  const groups = await imageGroups(house, call);
  const timesOf = async (key: string): Promise<number[]> =>
    Promise.all(
      (filters.get(key) ?? []).map(async (ref) => createdOf({ ...(await findImage(house, call, ref)), names: [] })),
    );
  const before = await timesOf('before');
  const since = await timesOf('since');
  const counts = containersByImage(house, call);
  const shown: EngineObject[] = [];
  for (const { model, names: all } of groups) {
    const wanted = (name: Image): boolean =>
      keyedFilter(filters, 'reference', (pattern) => matchesReference(name.name, pattern));
    // Of an image with several names, those are shown that were asked for.
    const group = { model, names: all.filter(wanted) };
    const created = createdOf(group);
    const passes =
      keyedFilter(filters, 'dangling', (is) => ['false', '0'].includes(is)) &&
      group.names.length > 0 &&
      keyedFilter(filters, 'until', (time) => created * 1000 < Date.parse(time)) &&
      matchesLabels(filters, group.model.config.config?.Labels ?? {}) &&
      before.every((time) => created < time) &&
      since.every((time) => created > time);
    if (!passes) continue;
    shown.push({
      Containers: counts.get(group.model.id) ?? 0,
      Created: created,
      Id: group.model.id,
      Labels: group.model.config.config?.Labels ?? null,
      ParentId: '',
      RepoDigests: digestsOf(house, call, group.names),
      RepoTags: tagsOf(group.names),
      SharedSize: -1,
      Size: await sizeOf(house, call, group.model),
    });
  }
  return shown;
}

function containersByImage(house: EngineHouse, call: Call): Map<string, number> {
  const counts = new Map<string, number>();
  for (const container of house.containers.list(call, [])) {
    const id = recordOf(container)?.imageId;
    if (id !== undefined) counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}

/** A shell pattern over the short name, with or without its tag. */
function matchesReference(name: string, pattern: string): boolean {
  const shown = familiarOr(name);
  const bare = shown.replace(/[:@][^/]*$/, '');
  if (pattern.length > 256) throw invalid('filter "reference": longer than 256 characters');
  // Each wildcard becomes a class that cannot overlap its neighbour's, so that no pattern runs away.
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*+/g, '[^/]*')
    .replace(/\?/g, '[^/]');
  const matcher = new RegExp(`^${source}$`);
  return [shown, bare].some((text) => matcher.test(text));
}

/** `GET /images/{name}/json`. */
export async function imageInspect(house: EngineHouse, call: Call, ref: string): Promise<EngineObject> {
  const { model } = await findImage(house, call, ref);
  const names = (await imageGroups(house, call)).find((group) => group.model.id === model.id)?.names ?? [];
  const { config } = model;
  const last = names.map(({ updatedAt }) => updatedAt).toSorted((a, b) => b.getTime() - a.getTime())[0];
  return {
    Id: model.id,
    RepoTags: tagsOf(names),
    RepoDigests: digestsOf(house, call, names),
    Parent: '',
    Comment: config.history?.at(-1)?.comment ?? '',
    Created: config.created ?? '',
    DockerVersion: '',
    Author: config.author ?? '',
    Config: {
      User: '',
      ExposedPorts: null,
      Env: null,
      Cmd: null,
      Volumes: null,
      WorkingDir: '',
      Entrypoint: null,
      OnBuild: null,
      Labels: null,
      ...config.config,
    },
    Architecture: config.architecture ?? '',
    ...(config.variant === undefined ? {} : { Variant: config.variant }),
    Os: config.os ?? 'linux',
    Size: await sizeOf(house, call, model),
    GraphDriver: { Name: house.defaultSnapshotter, Data: {} },
    RootFS: { Type: 'layers', Layers: config.rootfs?.diff_ids ?? [] },
    Metadata: { LastTagTime: last?.toISOString() ?? '0001-01-01T00:00:00Z' },
    Descriptor: model.target,
  };
}

/** `GET /images/{name}/history`: the newest step first. */
export async function imageHistory(house: EngineHouse, call: Call, ref: string): Promise<EngineObject[]> {
  const { model } = await findImage(house, call, ref);
  const names = (await imageGroups(house, call)).find((group) => group.model.id === model.id)?.names ?? [];
  const sizes = await layerSizes(house, call, model);
  let layer = 0;
  const steps = (model.config.history ?? []).map((step) => {
    const size = step.empty_layer === true ? 0 : (sizes[layer++] ?? 0);
    return {
      Id: '<missing>',
      Created: Math.trunc((Date.parse(step.created ?? '') || 0) / 1000),
      CreatedBy: step.created_by ?? '',
      Tags: null,
      Size: size,
      Comment: step.comment ?? '',
    };
  });
  return steps.toReversed().map((step, index) => (index === 0 ? { ...step, Id: model.id, Tags: tagsOf(names) } : step));
}

/** From the lowest layer up. */
async function layerSizes(house: EngineHouse, call: Call, model: ImageModel): Promise<number[]> {
  try {
    const sizes: number[] = [];
    for (let key = model.chainId; key !== '';) {
      sizes.unshift((await house.snapshots.usage(call, house.defaultSnapshotter, key)).bytes);
      key = house.snapshots.stat(call, house.defaultSnapshotter, key).parent;
    }
    return sizes;
  } catch (error) {
    if (codeOf(error) !== 'not-found') throw error;
    return model.layers.map(({ size }) => size);
  }
}

/** `POST /images/{name}/tag`: another name for the same thing; one that exists moves. */
export async function imageTag(house: EngineHouse, call: Call, ref: string, target: string): Promise<void> {
  const { image } = await findImage(house, call, ref);
  if (parseReference(target).digest !== undefined)
    throw new HakoError('invalid-argument', 'refusing to create a tag with a digest reference');
  const name = formatReference(normalizeReference(target));
  const given = { name, labels: image.labels, target: image.target };
  if (house.images.find(call, name) === undefined) {
    try {
      await house.images.create(call, given);
      return;
    } catch (error) {
      if (codeOf(error) !== 'already-exists') throw error;
    }
  }
  await house.images.update(call, given, []);
}
