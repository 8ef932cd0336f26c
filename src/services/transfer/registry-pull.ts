import type { Call } from '#base/call.ts';
import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import type { Content } from '../content.ts';
import type { Images } from '../images.ts';
import { isLayer } from '../pull-manifest.ts';
import type { PullOptions } from '../pull-options.ts';
import type { Pulls } from '../pull.ts';
import { unpacksOf } from './archive-import.ts';
import type { RegistryEnd, StoreEnd, TransferProgress } from './ends.ts';
import { namesOf, ociReference, storeNames } from './image-names.ts';
import { ObjectTeller } from './transfer-progress.ts';

export interface RegistryPullParts {
  readonly pulls: Pulls;
  readonly content: Content;
  readonly images: Images;
  readonly drivers: ReadonlyMap<string, unknown>;
}

/** A pull, and what it tells its client in containerd's words. */
export async function pullFromRegistry(
  parts: RegistryPullParts,
  call: Call,
  from: RegistryEnd,
  to: StoreEnd,
  tell: (progress: TransferProgress) => void,
): Promise<void> {
  const { pulls, images, content, drivers } = parts;
  const shown = `OCI Registry (${from.reference})`;
  tell({ event: `Resolving from ${shown}` });
  const options = pullOptions(from, to, drivers);
  const saved: string[] = [];
  let resolved = false;
  // Of a layer that is unpacked already, containerd does not speak.
  const isQuiet = (digest: string): boolean => options.unpack !== 'none' && content.find(call, digest) !== undefined;
  using objects = new ObjectTeller(tell, (target) => isLayer(target) && isQuiet(target.digest));
  try {
    checkReference(from.reference);
    const { target } = await pulls.pull(call, from.reference, options, (event) => {
      if (event.kind === 'resolved') {
        resolved = true;
        tell({ event: `Pulling from ${shown}` });
        tell({ event: 'fetching image content', name: from.reference });
        unpacksOf(to, drivers);
      } else if (event.kind === 'object') objects.downloaded(event);
      else if (event.kind === 'saved') saved.push(event.image.name);
    });
    const more = to.references.filter(byDigest).map(({ name }) => `${name}@${target.digest}`);
    if (more.length > 0) for (const { name } of await storeNames(images, call, to, more, target)) saved.push(name);
  } catch (error) {
    throw resolved ? error : resolveError(from.reference, error);
  }
  for (const name of saved) tell({ event: 'saved', name });
  tell({ event: `Completed pull from ${shown}` });
  objects.flush();
}

const byDigest = ({ isPrefix, addDigest }: StoreEnd['references'][number]): boolean => !isPrefix && addDigest;

function pullOptions(from: RegistryEnd, to: StoreEnd, drivers: ReadonlyMap<string, unknown>): PullOptions {
  const names = namesOf({ ...to, references: to.references.filter((rule) => !byDigest(rule)) }, noTarget);
  if (names.length === 0) throw new HakoError('not-found', 'no image name found: not found');
  const unpack = to.unpacks.filter(({ snapshotter = '' }) => snapshotter === '' || drivers.has(snapshotter));
  return {
    ...from.options,
    names,
    labels: to.labels,
    platforms: to.platforms.length === 0 ? 'all' : to.platforms,
    allMetadata: to.allMetadata,
    manifestLimit: to.manifestLimit,
    unpack: unpack.length === 0 ? 'none' : unpack,
  };
}

/** For names that need no digest. */
const noTarget = { mediaType: '', digest: '', size: 0 };

/** Clients at this door give whole names: what is short elsewhere is wrong here, as with containerd. */
function checkReference(reference: string): void {
  const object = ociReference(reference);
  const port = /^[^:/@[]+(:[^/]*[^/0-9][^/]*)(?:\/|$)/.exec(reference)?.[1];
  if (port !== undefined)
    throw new HakoError(
      'unknown',
      `parse ${JSON.stringify(`dummy://${reference}`)}: invalid port "${port}" after host`,
    );
  if (object === reference) throw new HakoError('invalid-argument', `invalid reference ${JSON.stringify(reference)}`);
  if (object === '') throw new HakoError('unknown', 'object required');
}

function resolveError(reference: string, error: unknown): HakoError {
  const code = codeOf(error);
  const why = code === 'not-found' ? `${reference}: not found` : messageOf(error);
  return new HakoError(code, `failed to resolve image: ${why}`, error);
}
