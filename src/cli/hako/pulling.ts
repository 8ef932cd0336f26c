import { familiar, formatReference, normalizeReference } from '#base/reference.ts';
import type { Context } from '../command.ts';
import { registryAuth } from './credentials.ts';
import type { ProgressView } from './progress.ts';

export interface PullTimes {
  readonly resolve: number;
  readonly download: number;
  readonly unpack: number;
}

export interface PullRequest {
  readonly image: string;
  readonly platform?: string | undefined;
  /** Where progress goes; nothing when undefined. */
  readonly view?: ProgressView | undefined;
  readonly timing?: boolean;
}

/** Pulls an image; resolves with its full name and, where they were asked for, the times of its stages. */
export async function pullImage(context: Context, request: PullRequest): Promise<{ name: string; times?: PullTimes }> {
  const reference = normalizeReference(request.image);
  const { tag, digest, ...name } = reference;
  const query = { fromImage: familiar(name), tag: digest ?? tag, platform: request.platform };
  let times: PullTimes | undefined;
  const auth = registryAuth(request.image, context.environment);
  for await (const message of context.client.pullImage(query, auth, request.timing)) {
    const timing = message.aux?.['hakobune.io/timing'];
    if (timing !== undefined) times = timing as PullTimes;
    else request.view?.show(message);
  }
  return { name: formatReference(reference), ...(times === undefined ? {} : { times }) };
}
