import type { Call } from '#base/call.ts';
import { compressionHead, compressionOf } from '#base/compression.ts';
import { HakoError, messageOf } from '#base/errors.ts';
import { normalizePlatform } from '#base/platforms.ts';
import { formatReference, normalizeReference } from '#base/reference.ts';
import type { Archives } from '#core/archives.ts';
import type { Blob } from '#core/content.ts';
import type { Descriptor, Platform } from '#core/images.ts';
import type { Content } from '../content.ts';
import { maxJson } from '../pull-manifest.ts';
import { writeBlob, type ArchiveBlob, type ArchiveFiles } from './archive-reader.ts';
import { dockerManifest, indexDocument } from './documents.ts';
import { imageNameAnnotation, ociReference, reasonOf, refNameAnnotation } from './image-names.ts';

const types = {
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar',
  gzipLayer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  index: 'application/vnd.oci.image.index.v1+json',
};
const uncompressed = 'containerd.io/uncompressed';
const chunkSize = 256 * 1024;

export interface DockerArchiveParts {
  readonly content: Content;
  readonly archives: Archives;
}

interface DockerImage {
  readonly config: string;
  readonly tags: readonly string[];
  readonly layers: readonly string[];
}

const fault = (message: string, cause?: unknown): HakoError => new HakoError('unknown', message, cause);

/** Makes manifests for the images of a Docker archive, which has none, and an index over them. */
export async function indexDockerArchive(
  parts: DockerArchiveParts,
  call: Call,
  files: ArchiveFiles,
  forceCompress: boolean,
): Promise<Descriptor> {
  const manifests: Descriptor[] = [];
  for (const image of imagesIn(files.dockerManifest)) {
    const target = await manifestOf(parts, call, files, image, forceCompress);
    if (image.tags.length === 0) manifests.push(target);
    for (const tag of image.tags) {
      const name = normalized(tag);
      const annotations = { [imageNameAnnotation]: name, [refNameAnnotation]: ociReference(name) };
      manifests.push({ ...target, annotations });
    }
  }
  return writeDocument(parts.content, call, types.index, indexDocument(manifests));
}

function imagesIn(document: unknown): DockerImage[] {
  if (!Array.isArray(document)) throw fault('unrecognized image format');
  return document.map((one: unknown) => {
    const { Config: config, RepoTags: tags, Layers: layers } = (one ?? {}) as Record<string, unknown>;
    const texts = (list: unknown): list is string[] =>
      Array.isArray(list) && list.length <= 1000 && list.every((item) => typeof item === 'string');
    if (typeof config !== 'string' || !texts(tags ?? []) || !texts(layers ?? []))
      throw fault('untar manifest "manifest.json": an image in it lacks Config or has no proper RepoTags and Layers');
    return { config, tags: (tags ?? []) as string[], layers: (layers ?? []) as string[] };
  });
}

async function manifestOf(
  parts: DockerArchiveParts,
  call: Call,
  { blobs }: ArchiveFiles,
  image: DockerImage,
  forceCompress: boolean,
): Promise<Descriptor> {
  const config = blobs.get(image.config);
  if (config === undefined) throw fault(`image config ${JSON.stringify(image.config)} not found`);
  const layers: Descriptor[] = [];
  for (const file of image.layers) {
    const layer = blobs.get(file);
    if (layer === undefined) throw fault(`failed to resolve layers: layer ${JSON.stringify(file)} not found`);
    layers.push(await layerOf(parts, call, layer, forceCompress));
  }
  const bytes = dockerManifest(types.manifest, { mediaType: types.config, ...config }, layers);
  const target = await writeDocument(parts.content, call, types.manifest, bytes);
  return { ...target, platform: await platformOf(parts.content, call, config) };
}

/** A layer as it is, or compressed where the store has it so already or that is wanted. */
async function layerOf(
  { content, archives }: DockerArchiveParts,
  call: Call,
  layer: ArchiveBlob,
  forceCompress: boolean,
): Promise<Descriptor> {
  const [compressed] = [...content.list(call, [`labels."${uncompressed}"==${layer.digest}`])].toSorted((one, other) =>
    one.digest < other.digest ? 1 : -1,
  );
  if (compressed !== undefined) {
    // Compressed ones are named by the label; an empty layer may carry it, too.
    const { digest, size } = compressed;
    return { mediaType: await layerType(content, call, digest), digest, size };
  }
  const mediaType = await layerType(content, call, layer.digest);
  if (mediaType !== types.layer || !forceCompress) return { mediaType, ...layer };
  await using blob = await content.open(call, layer.digest);
  const source = archives.compress(bytesOf(blob, call.signal), call.signal);
  return { mediaType: types.gzipLayer, ...(await writeBlob(content, call, source, { [uncompressed]: layer.digest })) };
}

/** containerd calls every compressed layer gzip; whoever unpacks it looks at its bytes. */
async function layerType(content: Content, call: Call, digest: string): Promise<string> {
  await using blob = await content.open(call, digest);
  const head = await blob.read(0, compressionHead, call.signal);
  return compressionOf(head) === 'none' ? types.layer : types.gzipLayer;
}

async function* bytesOf(blob: Blob, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < blob.size;) {
    const piece = await blob.read(offset, Math.min(chunkSize, blob.size - offset), signal);
    if (piece.length === 0) throw fault(`content ${blob.digest} ends after ${offset} of ${blob.size} bytes`);
    yield piece;
    offset += piece.length;
  }
}

async function platformOf(content: Content, call: Call, config: ArchiveBlob): Promise<Platform> {
  let body: unknown;
  try {
    body = JSON.parse(Buffer.from(await content.readAll(call, config.digest, maxJson)).toString('utf8'));
  } catch (error) {
    throw fault(`unable to resolve platform: ${messageOf(error)}`, error);
  }
  const fields = (body ?? {}) as Record<string, unknown>;
  const text = (key: string): string => (typeof fields[key] === 'string' ? fields[key] : '');
  return normalizePlatform({
    os: text('os') === '' ? process.platform : text('os'),
    architecture: text('architecture'),
    variant: text('variant'),
    'os.version': text('os.version'),
  });
}

function normalized(tag: string): string {
  try {
    const reference = normalizeReference(tag);
    if (reference.tag === undefined || reference.digest === undefined) return formatReference(reference);
    // Of both, the digest says more.
    const { domain, path, digest } = reference;
    return formatReference({ domain, path, digest });
  } catch (error) {
    throw fault(`normalize image ref ${JSON.stringify(tag)}: ${reasonOf(error, tag)}`, error);
  }
}

async function writeDocument(content: Content, call: Call, mediaType: string, bytes: Uint8Array): Promise<Descriptor> {
  return { mediaType, ...(await writeBlob(content, call, [bytes])) };
}
