import { invalid } from '#base/errors.ts';
import { nearest } from '#base/nearest.ts';

/** What a snapshotter's table in the configuration may say, under containerd's key names. */
export interface SnapshotterConfig {
  /** Another place for the trees. */
  readonly rootPath?: string;
  /** overlayfs only: options for every overlay mount, before ours. */
  readonly mountOptions: readonly string[];
}

/** Reads the table. invalid-argument for a key that is not there, or a value of the wrong kind. */
export function parseSnapshotterConfig(
  raw: unknown,
  keys: readonly ('root_path' | 'mount_options')[],
): SnapshotterConfig {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) throw invalid('want a table');
  const table = raw as Record<string, unknown>;
  for (const key of Object.keys(table)) {
    if ((keys as readonly string[]).includes(key)) continue;
    const near = nearest(key, keys);
    throw invalid(
      `key "${key}" is not known${near === undefined ? '' : `: did you mean "${near}"?`} (known: ${keys.join(', ')})`,
    );
  }
  const { root_path: rootPath, mount_options: mountOptions = [] } = table;
  if (rootPath !== undefined && (typeof rootPath !== 'string' || !/^(?:$|\/)/.test(rootPath)))
    throw invalid('key "root_path": want an absolute path');
  if (
    !Array.isArray(mountOptions) ||
    !mountOptions.every((option) => typeof option === 'string' && option !== '' && !option.includes(','))
  ) {
    throw invalid('key "mount_options": want an array of strings, one option each');
  }
  return { mountOptions: mountOptions as string[], ...(rootPath === undefined || rootPath === '' ? {} : { rootPath }) };
}
