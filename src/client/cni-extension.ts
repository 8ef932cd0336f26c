import type { AnyWords } from './spec/spec-json.ts';

/** What `ctr` writes at a container that has a CNI network, and looks for before it kills its task. */
export const cniExtensionName = 'ctr.cni-containerd.metadata';

export const cniExtension: Readonly<Record<string, AnyWords>> = {
  [cniExtensionName]: {
    typeUrl: 'github.com/containerd/containerd/v2/cmd/ctr/commands/NetworkMetaData',
    value: Buffer.from(JSON.stringify({ EnableCni: true })),
  },
};

/** Whether a container has such a network; what 1.x wrote counts as well. */
export function hasCni(extensions: Readonly<Record<string, AnyWords>>): boolean {
  const { value } = extensions[cniExtensionName] ?? {};
  if (value === undefined) return false;
  try {
    return (JSON.parse(Buffer.from(value).toString()) as { EnableCni?: boolean } | null)?.EnableCni === true;
  } catch {
    return false;
  }
}
