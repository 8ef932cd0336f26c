import { readFile } from 'node:fs/promises';
import { cleanupSignal } from '#base/call.ts';
import { HakoError, messageOf } from '#base/errors.ts';
import type { PlatformWords } from '#base/platforms.ts';
import type { Containerd } from '../containerd.ts';
import { annotate, makeSpec } from '../spec/make-spec.ts';
import { mappingText } from '../spec/id-mappings.ts';
import type { ImageConfig, SpecRequest } from '../spec/request.ts';
import { packSpec, parseSpec, type AnyWords } from '../spec/spec-json.ts';
import type { Spec } from '../spec/types.ts';
import { containers, type Container } from './containers.ts';
import { chainId, fromMessage, ImageGraph, isConfig } from './image-graph.ts';
import type { Image } from './images.ts';
import { introspection } from './introspection.ts';
import { withLease } from './lease-scope.ts';
import { checkRoot, gidLabel, remappedSnapshot, uidLabel, type Mappings } from './remap.ts';
import { chooseSnapshotter, snapshots } from './snapshots.ts';
import { isUnpacked, unpackImage } from './unpack.ts';

export interface ContainerRequest {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly runtime: { readonly name: string; readonly options?: AnyWords | undefined };
  readonly sandbox?: string | undefined;
  readonly extensions?: Readonly<Record<string, AnyWords>>;
  /** A spec from a file, or the wishes of which one is made. */
  readonly spec: { readonly file: string } | Omit<SpecRequest, 'id' | 'namespace' | 'image' | 'labels'>;
  /** What the root file system is made of; not for a spec from a file, nor with a root file system of the caller's own. */
  readonly image?: ImageRequest | undefined;
}

export interface ImageRequest {
  readonly image: Image;
  readonly platform?: PlatformWords | undefined;
  readonly snapshotter?: string | undefined;
  readonly snapshotLabels?: Readonly<Record<string, string>>;
  /** Lets the snapshotter shift the ids of a user namespace, where it can. */
  readonly remapLabels?: boolean;
  readonly syncFs?: boolean;
}

const stopSignalLabel = 'io.containerd.image.config.stop-signal';

/**
 * Makes a container as containerd's own client does: unpacks the image where that has not been done, prepares a snapshot,
 * writes the spec, and creates the record. When something fails, no snapshot is left.
 */
export function createContainer(door: Containerd, request: ContainerRequest): Promise<Container> {
  return withLease(door, async (leased) => {
    await using undo = new AsyncDisposableStack();
    const { id, runtime, sandbox = '', extensions = {} } = request;
    const root = await rootOf(leased, request, undo);
    const spec = await specOf(leased, request, root);
    const { container } = await containers(leased).create({
      container: {
        id,
        labels: root === undefined ? { ...request.labels } : root.labels,
        image: request.image?.image.name ?? '',
        runtime: { name: runtime.name, ...(runtime.options === undefined ? {} : { options: runtime.options }) },
        spec: packSpec(spec),
        snapshotter: root?.snapshotter ?? '',
        snapshotKey: root?.key ?? '',
        extensions: { ...extensions },
        sandbox,
      },
    });
    undo.move();
    return container!;
  });
}

/** The snapshot that a container writes to, and what its image says. */
interface Root {
  readonly config: ImageConfig;
  readonly labels: Record<string, string>;
  readonly snapshotter: string;
  readonly key: string;
}

async function rootOf(
  door: Containerd,
  request: ContainerRequest,
  undo: AsyncDisposableStack,
): Promise<Root | undefined> {
  if (request.image === undefined) return undefined;
  const { image, platform, syncFs = false } = request.image;
  const snapshotter = await chooseSnapshotter(door, request.image.snapshotter);
  const target = fromMessage(image.target);
  const graph = new ImageGraph(door);
  const unpack = { target, snapshotter, platform, syncFs };
  const parent = (await isUnpacked(door, graph, unpack))
    ? chainId(await graph.diffIds(target, platform))
    : await unpackImage(door, unpack);
  const config = await configOf(graph, request.image);
  await prepare(door, request, { snapshotter, parent });
  undo.defer(async () => {
    await snapshots(door)
      .remove({ snapshotter, key: request.id }, { signal: cleanupSignal() })
      .catch(() => {});
  });
  const labels = {
    ...config.Labels,
    ...image.labels,
    ...request.labels,
    [stopSignalLabel]: config.StopSignal === undefined || config.StopSignal === '' ? 'SIGTERM' : config.StopSignal,
  };
  return { config, labels, snapshotter, key: request.id };
}

async function configOf(graph: ImageGraph, { image, platform }: ImageRequest): Promise<ImageConfig> {
  const manifest = await graph.manifestFor(fromMessage(image.target), platform);
  const { config } = await graph.manifest(manifest.digest);
  if (!isConfig(config.mediaType))
    throw new HakoError('invalid-argument', `image "${image.name}": "${config.mediaType}" is no configuration of ours`);
  const found = JSON.parse((await graph.text(config.digest)).toString()) as { config?: ImageConfig | null };
  return found.config ?? {};
}

async function prepare(
  door: Containerd,
  request: ContainerRequest,
  { snapshotter, parent }: { snapshotter: string; parent: string },
): Promise<void> {
  const api = snapshots(door);
  const labels = { ...request.image?.snapshotLabels };
  const mappings = mappingsOf(request);
  if (mappings === undefined) {
    await api.prepare({ snapshotter, key: request.id, parent, labels });
    return;
  }
  checkRoot(mappings);
  if (request.image?.remapLabels !== true) {
    const shifted = await remappedSnapshot(door, snapshotter, parent, mappings);
    await api.prepare({ snapshotter, key: request.id, parent: shifted });
    return;
  }
  const shifts = { [uidLabel]: mappingText(mappings.uids), [gidLabel]: mappingText(mappings.gids) };
  const from = (await shiftsIds(door, snapshotter))
    ? parent
    : await remappedSnapshot(door, snapshotter, parent, mappings);
  await api.prepare({ snapshotter, key: request.id, parent: from, labels: shifts });
}

function mappingsOf({ spec }: ContainerRequest): Mappings | undefined {
  if ('file' in spec) return undefined;
  const { uidMappings: uids = [], gidMappings: gids = [] } = spec;
  return uids.length > 0 && gids.length > 0 ? { uids, gids } : undefined;
}

/** Whether the snapshotter shifts ids by itself; throws where it would refuse what we could do instead. */
async function shiftsIds(door: Containerd, snapshotter: string): Promise<boolean> {
  const filter = `type==io.containerd.snapshotter.v1,id==${snapshotter}`;
  const { plugins } = await introspection(door).plugins({ filters: [filter] });
  const capabilities = plugins.flatMap((plugin) => plugin.capabilities);
  if (capabilities.includes('remap-ids')) return true;
  if (capabilities.includes('only-remap-ids'))
    throw new HakoError(
      'failed-precondition',
      `snapshotter "${snapshotter}": it cannot shift ids on this machine: leave --remap-labels out, or configure its "slow_chown"`,
    );
  return false;
}

async function specOf(door: Containerd, request: ContainerRequest, root: Root | undefined): Promise<Spec> {
  const { id, labels, spec } = request;
  if ('file' in spec) {
    const text = await readFile(spec.file, 'utf8').catch((error: unknown) => {
      throw new HakoError('not-found', `cannot load spec config file: ${messageOf(error)}`, error);
    });
    const made = parseSpec(text, `spec config file "${spec.file}"`);
    annotate(made, labels);
    return made;
  }
  const wanted = { ...spec, id, labels, namespace: door.namespace, image: root?.config };
  return makeSpec(wanted, async () => {
    // Loaded late: not every container needs it, and system calls cost start-up time.
    const { readUserFiles } = await import('./rootfs-users.ts');
    if (root === undefined) return readUserFiles(spec.rootfs ?? '/');
    const { snapshotter, key } = root;
    return readUserFiles((await snapshots(door).mounts({ snapshotter, key })).mounts);
  });
}
