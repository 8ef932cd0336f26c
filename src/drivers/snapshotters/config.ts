import { invalid } from '#base/errors.ts';
import { nearest } from '#base/nearest.ts';

/** What a snapshotter's table in the configuration may say, under containerd's key names. */
export interface SnapshotterConfig {
  /** Another place for the trees. */
  readonly rootPath?: string;
  /** overlayfs only: options for every overlay mount, before ours. */
  readonly mountOptions: readonly string[];
  /** overlayfs only: whether a snapshot's information names its upper directory. */
  readonly upperdirLabel: boolean;
  /** overlayfs only: whether clients may fall back on changing the owner of every file. */
  readonly slowChown: boolean;
}

const flags = ['upperdir_label', 'slow_chown', 'sync_remove'] as const;
type Key = 'root_path' | 'mount_options' | (typeof flags)[number];

/** Reads the table. invalid-argument for a key that is not there, or a value of the wrong kind. */
export function parseSnapshotterConfig(raw: unknown, keys: readonly Key[]): SnapshotterConfig {
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
  for (const key of flags) {
    if (table[key] !== undefined && typeof table[key] !== 'boolean') throw invalid(`key "${key}": want true or false`);
  }
  const chosen = {
    mountOptions: mountOptions as string[],
    upperdirLabel: table['upperdir_label'] === true,
    slowChown: table['slow_chown'] === true,
  };
  return { ...chosen, ...(rootPath === undefined || rootPath === '' ? {} : { rootPath }) };
}
