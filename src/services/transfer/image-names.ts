import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import type { Call } from '#base/call.ts';
import type { Descriptor, Image } from '#core/images.ts';
import type { Images } from '../images.ts';
import type { NameRule, StoreEnd } from './ends.ts';

/** The whole name of an image, in containerd's words. */
export const imageNameAnnotation = 'io.containerd.image.name';
/** A tag, by OCI; some tools write whole names there. */
export const refNameAnnotation = 'org.opencontainers.image.ref.name';

/** What the target of a pull, a tag or a whole archive is called. */
export function namesOf(store: StoreEnd, target: Descriptor): string[] {
  const more = store.references
    .filter(({ isPrefix }) => !isPrefix)
    .map(({ name, addDigest }) => (addDigest ? `${name}@${target.digest}` : name));
  return store.name === '' ? more : [store.name, ...more];
}

/** What one image of an archive is called, by its annotations and our prefixes. */
export function namesInArchive(store: StoreEnd, target: Descriptor): string[] {
  return store.references
    .filter(({ isPrefix }) => isPrefix)
    .flatMap((rule) => {
      const byDigest = `${rule.name}@${target.digest}`;
      const name = nameByRule(rule, target.annotations ?? {});
      if (name === '') return rule.addDigest ? [byDigest] : [];
      return rule.addDigest && !rule.skipNamedDigest ? [name, byDigest] : [name];
    });
}

function nameByRule(rule: NameRule, annotations: Readonly<Record<string, string>>): string {
  const whole = annotations[imageNameAnnotation] ?? '';
  // containerd's own annotation holds a full name: it counts as it is or not at all.
  if (whole !== '') return translated(rule, whole) === whole ? whole : '';
  const reference = annotations[refNameAnnotation] ?? '';
  return reference === '' ? '' : translated(rule, reference);
}

/** A tag gets the prefix before it; a full name stays, if it may. */
function translated({ name: prefix, allowOverwrite }: NameRule, reference: string): string {
  if (prefix === '') return '';
  if (!/[/:@]/.test(reference)) return `${prefix}:${reference}`;
  return allowOverwrite || hasPrefix(reference, prefix) ? reference : '';
}

/** `foo/bar` is no prefix of `foo/barn`. */
const hasPrefix = (name: string, prefix: string): boolean =>
  name.startsWith(prefix) && (name.length === prefix.length || '/:@'.includes(name[prefix.length]!));

/** Points names at a target, whether or not they are there. not-found when there are none. */
export async function storeNames(
  images: Images,
  call: Call,
  store: StoreEnd,
  names: readonly string[],
  target: Descriptor,
): Promise<Image[]> {
  if (names.length === 0) throw new HakoError('not-found', 'no image name found: not found');
  const stored: Image[] = [];
  for (const name of names) stored.push(await put(images, call, { name, target: kept(target), labels: store.labels }));
  return stored;
}

/** The ledger keeps of a descriptor what containerd keeps: its platform is known by its config. */
const kept = ({ mediaType, digest, size, annotations }: Descriptor): Descriptor => ({
  mediaType,
  digest,
  size,
  ...(annotations !== undefined && Object.keys(annotations).length > 0 && { annotations }),
});

async function put(images: Images, call: Call, image: Pick<Image, 'name' | 'target' | 'labels'>): Promise<Image> {
  for (;;) {
    try {
      return await images.create(call, image);
    } catch (error) {
      if (codeOf(error) !== 'already-exists') throw error;
    }
    try {
      return await images.update(call, image, []);
    } catch (error) {
      // Removed between the two: once more.
      if (codeOf(error) !== 'not-found') throw error;
    }
  }
}

/** What OCI calls the reference of a full name: its tag, or its digest with the sign before it. */
export function ociReference(name: string): string {
  const slash = name.indexOf('/');
  const host = slash < 0 ? name : name.slice(0, slash);
  // Not readable as a host with a port: the name stands for itself.
  if (host === '' || name.includes('://') || !/^(?:\[[0-9a-fA-F:]+\]|[^:[\]@]+)(?::[0-9]*)?$/.test(host)) return name;
  if (slash < 0) return '';
  const rest = name.slice(slash);
  const at = rest.search(/[:@]/);
  if (at < 0) return '';
  return rest[at] === ':' ? rest.slice(at + 1) : rest.slice(at);
}

/** Why a reference is none, without the reference: whoever says so has named it. */
export const reasonOf = (error: unknown, reference: string): string => messageOf(error).replace(`: "${reference}"`, '');
