import { digestOf, isDigest, parseDigest } from '#base/digest.ts';
import { HakoError, messageOf } from '#base/errors.ts';
import { formatPlatform, matchPlatform } from '#base/platforms.ts';
import type { Labels } from '#core/any.ts';
import type { Descriptor, Digest, Platform } from '#core/images.ts';

/** Manifests and configs beyond this are refused before they are fetched. */
export const maxJson = 8 * 1024 * 1024;
/** More children than any real image has: overlayfs itself ends at some 500 layers. */
const maxChildren = 1000;

const types = {
  indexes: ['application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json'],
  manifests: ['application/vnd.oci.image.manifest.v1+json', 'application/vnd.docker.distribution.manifest.v2+json'],
  configs: ['application/vnd.oci.image.config.v1+json', 'application/vnd.docker.container.image.v1+json'],
};

export const isIndex = ({ mediaType }: Descriptor): boolean => types.indexes.includes(mediaType);
export const isManifest = ({ mediaType }: Descriptor): boolean => types.manifests.includes(mediaType);
export const isConfig = ({ mediaType }: Descriptor): boolean => types.configs.includes(mediaType);
/** OCI's layers, and Docker's with or without words after a plus. */
export const isLayer = ({ mediaType }: Descriptor): boolean =>
  mediaType.startsWith('application/vnd.oci.image.layer.') ||
  /^application\/vnd\.docker\.image\.rootfs\.(?:diff\.tar(?:\.gzip|\.zstd)?|foreign\.diff\.tar(?:\.gzip)?)(?:\+|$)/.test(
    mediaType,
  );
/** Configs of images, and of containerd's checkpoints. */
const isKnownConfig = (target: Descriptor): boolean =>
  isConfig(target) ||
  target.mediaType === 'application/vnd.containerd.container.criu.checkpoint.criu.tar' ||
  target.mediaType === 'application/vnd.containerd.container.checkpoint.config.v1+proto';

export interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

type Json = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const wrong = (digest: Digest, why: string): HakoError =>
  new HakoError('failed-precondition', `manifest "${digest}": ${why}`);

function parseObject(digest: Digest, bytes: Uint8Array): Json {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    throw wrong(digest, 'is not JSON');
  }
  if (!isObject(parsed)) throw wrong(digest, 'is not a JSON object');
  // One document that is both could mean one thing to us and another to whoever checked it (CVE-2021-41190).
  if ('manifests' in parsed && ('layers' in parsed || 'config' in parsed))
    throw wrong(digest, 'is an index and an image at once: refused');
  return parsed;
}

function checkMediaType(digest: Digest, body: Json, descriptor: Descriptor): void {
  const said = body['mediaType'];
  if (said === undefined || said === '' || said === descriptor.mediaType) return;
  const other = typeof said === 'string' ? `"${said.slice(0, 100)}"` : 'something else';
  throw wrong(digest, `says of itself that it is ${other}, but was given as "${descriptor.mediaType}"`);
}

function readDescriptor(owner: Digest, value: unknown, what: string): Descriptor {
  if (!isObject(value)) throw wrong(owner, `${what} is no descriptor`);
  const { mediaType, digest, size, annotations, platform, artifactType, urls } = value;
  if (typeof mediaType !== 'string' || typeof digest !== 'string')
    throw wrong(owner, `${what} lacks mediaType or digest`);
  try {
    parseDigest(digest);
  } catch (error) {
    throw wrong(owner, `${what}: ${messageOf(error)}`);
  }
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw wrong(owner, `${what} has a size that is none`);
  return {
    mediaType,
    digest,
    size,
    ...(isObject(annotations) ? { annotations: texts(annotations) } : {}),
    ...(isObject(platform) ? readPlatform(platform) : {}),
    ...(typeof artifactType === 'string' ? { artifactType } : {}),
    ...(Array.isArray(urls) && urls.length > 0
      ? { urls: urls.filter((one) => typeof one === 'string').slice(0, 8) }
      : {}),
  };
}

const texts = (table: Json): Record<string, string> =>
  Object.fromEntries(Object.entries(table).filter((pair): pair is [string, string] => typeof pair[1] === 'string'));

function readPlatform(table: Json): { platform?: Platform } {
  const { os, architecture, variant, 'os.version': version } = texts(table);
  if (os === undefined || architecture === undefined) return {};
  return {
    platform: {
      os,
      architecture,
      ...(variant === undefined || variant === '' ? {} : { variant }),
      ...(version === undefined || version === '' ? {} : { 'os.version': version }),
    },
  };
}

function readList(owner: Digest, value: unknown, what: string): Descriptor[] {
  if (!Array.isArray(value)) throw wrong(owner, `has no list of ${what}`);
  if (value.length > maxChildren) throw wrong(owner, `has ${value.length} ${what}, the limit is ${maxChildren}`);
  return value.map((one: unknown, at) => readDescriptor(owner, one, `${what}[${at}]`));
}

/** The children of an index. failed-precondition when it is malformed. */
export function parseIndex(descriptor: Descriptor, bytes: Uint8Array): Descriptor[] {
  const body = parseObject(descriptor.digest, bytes);
  checkMediaType(descriptor.digest, body, descriptor);
  return readList(descriptor.digest, body['manifests'], 'manifests');
}

/** Config and layers of an image. failed-precondition when it is malformed. */
export function parseManifest(descriptor: Descriptor, bytes: Uint8Array): Manifest {
  const body = parseObject(descriptor.digest, bytes);
  checkMediaType(descriptor.digest, body, descriptor);
  return {
    config: readDescriptor(descriptor.digest, body['config'], 'config'),
    layers: readList(descriptor.digest, body['layers'], 'layers'),
  };
}

/** What the config says about the tree: where it runs, and the digests of its uncompressed layers. */
export interface ImageConfig {
  readonly platform?: Platform;
  readonly diffIds: readonly Digest[];
}

export function parseConfig(descriptor: Descriptor, bytes: Uint8Array): ImageConfig {
  const bad = (why: string): HakoError =>
    new HakoError('failed-precondition', `image config "${descriptor.digest}": ${why}`);
  let body: unknown;
  try {
    body = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    throw bad('is not JSON');
  }
  if (!isObject(body)) throw bad('is not a JSON object');
  const rootfs = isObject(body['rootfs']) ? body['rootfs'] : {};
  if (rootfs['type'] !== undefined && rootfs['type'] !== 'layers') throw bad('its rootfs is not of type "layers"');
  const ids: unknown = rootfs['diff_ids'] ?? [];
  if (!Array.isArray(ids) || ids.length > maxChildren) throw bad('its rootfs.diff_ids is no list');
  const diffIds = ids.map((id: unknown) => {
    if (typeof id !== 'string' || !isDigest(id)) throw bad('its rootfs.diff_ids holds something that is no digest');
    return id;
  });
  return { ...readPlatform(body), diffIds };
}

/** The manifest of `children` that runs best on `wanted`; not-found says what there is instead. */
export function choosePlatform(name: string, children: readonly Descriptor[], wanted: Platform): Descriptor {
  let best: Descriptor | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const child of children) {
    if (!isManifest(child) && !isIndex(child)) continue;
    // One that does not say where it runs is taken where nothing better is there.
    const distance = child.platform === undefined ? Number.MAX_SAFE_INTEGER : matchPlatform(wanted, child.platform);
    if (distance === undefined || distance >= least) continue;
    best = child;
    least = distance;
  }
  if (best !== undefined) return best;
  const there = children.flatMap(({ platform }) =>
    platform === undefined || platform.os === 'unknown' ? [] : [formatPlatform(platform)],
  );
  const offer = there.length === 0 ? 'it has none' : `it has ${[...new Set(there)].join(', ')}`;
  throw new HakoError(
    'not-found',
    `image "${name}": no match for platform ${formatPlatform(wanted)} in manifest: ${offer}`,
  );
}

/** The names of layers stacked up: OCI image-spec, config.md, "Layer ChainID". */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`));
  }
  return chain;
}

/** Labels that hold `children` as long as their parent lives, in the words of containerd's collector. */
export function referenceLabels(children: readonly Descriptor[]): Labels {
  const labels: Record<string, string> = {};
  const counts = new Map<string, number>();
  for (const child of children) {
    const prefix = `containerd.io/gc.ref.content${referenceKind(child)}`;
    const at = counts.get(prefix) ?? 0;
    counts.set(prefix, at + 1);
    labels[prefix.endsWith('.') || at > 0 ? `${prefix}${at}` : prefix] = child.digest;
  }
  return labels;
}

function referenceKind(child: Descriptor): string {
  if (isKnownConfig(child)) return '.config';
  if (isManifest(child)) return '.m.';
  return isLayer(child) ? '.l.' : '.';
}

/** The name that containerd's clients give an upload; `ctr` shows its progress by it. */
export function uploadRef(target: Descriptor): string {
  const name = target.annotations?.['org.opencontainers.image.ref.name'];
  const key = name === undefined ? target.digest : `${name}@${target.digest}`;
  if (isManifest(target)) return `manifest-${key}`;
  if (isIndex(target)) return `index-${key}`;
  if (isLayer(target)) return `layer-${key}`;
  if (isKnownConfig(target)) return `config-${key}`;
  return target.mediaType === 'application/vnd.in-toto+json' ? `attestation-${key}` : `unknown-${key}`;
}

const sourcePrefix = 'containerd.io/distribution.source.';
const maxLabel = 4096;

/** Of the registry's name without its port, as containerd has it. */
const sourceKey = (domain: string): string =>
  `${sourcePrefix}${domain.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')}`;

/** Says where a blob came from, so that a push to that registry can mount it. Several repositories stand with commas. */
export function sourceLabel(domain: string, path: string, before: Labels): Labels {
  const key = sourceKey(domain);
  const known = (before[key] ?? '').split(',').filter((one) => one !== '');
  const value = [...new Set([...known, path])].toSorted().join(',');
  return key.length + value.length > maxLabel ? {} : { [key]: value };
}

/** Repositories at `domain` that are known to have the blob with these labels. */
export const sourcesOf = (domain: string, labels: Labels): string[] =>
  (labels[sourceKey(domain)] ?? '').split(',').filter((one) => one !== '');

/**
 * The repository at `domain` to mount a blob with these labels from into `path`: of those that are known to have it, the
 * last one with the most components of the path in common, as containerd chooses. Undefined when none is known.
 */
export function mountSource(domain: string, path: string, labels: Labels): string | undefined {
  const wanted = path.split('/');
  let best: string | undefined;
  let most = 0;
  for (const source of sourcesOf(domain, labels)) {
    if (source === path) continue;
    const parts = source.split('/');
    const differs = wanted.findIndex((part, at) => part !== parts[at]);
    const common = differs < 0 ? wanted.length : differs;
    if (common < most) continue;
    most = common;
    best = source;
  }
  return best;
}
