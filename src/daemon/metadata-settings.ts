import { invalid } from '#base/errors.ts';
import type { ContentSharing } from '#services/content.ts';
import type { Config } from './config/schema.ts';

/** containerd's name for its database; the ledger is another one, but this table counts. */
export const metadataPlugin = 'io.containerd.metadata.v1.bolt';

/** Checks `[plugins."io.containerd.metadata.v1.bolt"]`. */
export function contentSharing(plugins: Config['plugins']): ContentSharing {
  const { content_sharing_policy: policy = 'shared' } = (plugins[metadataPlugin] ?? {}) as {
    content_sharing_policy?: unknown;
  };
  if (policy === 'shared' || policy === 'isolated') return policy;
  throw invalid(
    `[plugins.${JSON.stringify(metadataPlugin)}] content_sharing_policy: want "shared" or "isolated", not ${JSON.stringify(policy)}`,
  );
}
