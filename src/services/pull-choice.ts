import { HakoError } from '#base/errors.ts';
import { hostPlatform, matchPlatform, normalizePlatform, platformPreference } from '#base/platforms.ts';
import type { Descriptor, Platform } from '#core/images.ts';
import { choosePlatform } from './pull-manifest.ts';
import type { PullOptions, UnpackTarget } from './pull-options.ts';

/** Whether both are the same platform: here nothing stands in for another. A version counts where it is wanted. */
export function samePlatform(wanted: Platform, offered: Platform): boolean {
  const [one, other] = [normalizePlatform(wanted), normalizePlatform(offered)];
  return (
    one.os === other.os &&
    one.architecture === other.architecture &&
    (one.variant ?? '') === (other.variant ?? '') &&
    (one['os.version'] === undefined || one['os.version'] === other['os.version'])
  );
}

/** Which children of an index a pull fetches; `pull-options.ts` says by what rules. */
export function chooseChildren(name: string, children: readonly Descriptor[], options: PullOptions): Descriptor[] {
  const { platforms, allMetadata, manifestLimit = 0 } = options;
  if (platforms === undefined) return [choosePlatform(name, children, options.platform ?? hostPlatform())];
  const wanted = children.filter(
    ({ platform }) => allMetadata === true || platform === undefined || isWanted(platforms, platform),
  );
  if (manifestLimit <= 0) return wanted;
  if (wanted.length === 0)
    throw new HakoError('not-found', `image "${name}": no match for platform in manifest: not found`);
  const place = ({ platform }: Descriptor): number => {
    if (platform === undefined) return Number.MAX_SAFE_INTEGER;
    if (platforms === 'all') return 0;
    const at = platforms.findIndex((one) => samePlatform(one, platform));
    return at < 0 ? Number.MAX_SAFE_INTEGER - 1 : at;
  };
  return wanted.toSorted((one, other) => place(one) - place(other)).slice(0, manifestLimit);
}

const isWanted = (platforms: readonly Platform[] | 'all', platform: Platform): boolean =>
  platforms === 'all' || platforms.some((one) => samePlatform(one, platform));

/** Whether of this manifest, which came by an index, only the config is wanted. */
export const isForeign = ({ platform }: Descriptor, { platforms, allMetadata }: PullOptions): boolean =>
  allMetadata === true && platform !== undefined && platforms !== undefined && !isWanted(platforms, platform);

/** Into which snapshotter an image for `platform` is unpacked; undefined when it is not. */
export function chooseUnpack(
  platform: Platform | undefined,
  options: PullOptions,
  defaultSnapshotter: string,
): string | undefined {
  const { unpack, snapshotter = '' } = options;
  const orDefault = (name: string): string => (name === '' ? defaultSnapshotter : name);
  if (unpack === 'none') return undefined;
  if (unpack === undefined && options.platforms === undefined) return orDefault(snapshotter);
  const targets: readonly UnpackTarget[] = unpack ?? [{ platform: hostPlatform(), snapshotter }];
  const [implied] = platformPreference(hostPlatform());
  const image = platform ?? implied ?? hostPlatform();
  const found = targets.find((target) => matchPlatform(target.platform, image) !== undefined);
  return found === undefined ? undefined : orDefault(found.snapshotter ?? '');
}
