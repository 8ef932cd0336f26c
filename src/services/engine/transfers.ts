import type { Call } from '#base/call.ts';
import { HakoError } from '#base/errors.ts';
import { parsePlatform } from '#base/platforms.ts';
import { familiar, formatReference, normalizeReference } from '#base/reference.ts';
import type { RegistryOptions } from '#core/registry.ts';
import { isIndex, isManifest } from '../pull-manifest.ts';
import type { PullProgress } from '../pull.ts';
import type { PushProgress } from '../push.ts';
import type { EngineHouse } from './house.ts';

export async function pull(
  house: EngineHouse,
  call: Call,
  reference: string,
  { platform, ...options }: RegistryOptions & { platform?: string },
  progress: (event: PullProgress) => void,
): Promise<{ reference: string; digest: string; upToDate: boolean }> {
  const parsed = normalizeReference(reference);
  const name = formatReference(parsed);
  const before = house.images.find(call, name)?.target.digest;
  const wanted = platform === undefined || platform === '' ? {} : { platform: parsePlatform(platform) };
  const image = await house.pulls.pull(call, name, { ...options, ...wanted }, progress);
  return { reference: familiar(parsed), digest: image.target.digest, upToDate: before === image.target.digest };
}

export async function push(
  house: EngineHouse,
  call: Call,
  reference: string,
  options: RegistryOptions,
  progress: (event: PushProgress) => void,
): Promise<{ reference: string; digest: string; size: number }> {
  const parsed = normalizeReference(reference);
  const name = formatReference(parsed);
  const image = house.images.find(call, name);
  if (image === undefined) {
    throw new HakoError(
      'not-found',
      `An image does not exist locally with the tag: ${familiar({ domain: parsed.domain, path: parsed.path })}`,
    );
  }
  // Docker's clients show blobs only.
  const digest = await house.pushes.push(call, name, options, (event) => {
    if (!isManifest(event.target) && !isIndex(event.target)) progress(event);
  });
  return { reference: familiar(parsed), digest, size: image.target.size };
}
