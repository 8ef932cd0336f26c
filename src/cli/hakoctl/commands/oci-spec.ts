import { formatPlatform, hostPlatform, parsePlatform } from '#base/platforms.ts';
import { defaultSpec, ociVersion } from '#client/spec/default-spec.ts';
import { packSpec } from '#client/spec/spec-json.ts';
import { print } from '../../output.ts';
import { command } from '../command.ts';
import { indentJson } from '../indent.ts';
import { goJson } from '../listing.ts';

export const spec = command({
  usage: '[flags]',
  description: 'The specification that "run" and "containers create" begin with, before any image or flag changes it.',
  flags: {
    platform: {
      kind: 'one',
      fallback: formatPlatform(hostPlatform()),
      help: "Platform of the spec to print (Examples: 'linux/arm64', 'windows/amd64')",
    },
  },
  takes: [0, 0],
  alone: true,
  examples: [['oci spec >config.json', 'to change it and "run --config config.json"']],
  async run({ global }, { flags }) {
    const { os } = parsePlatform(flags.platform);
    const text =
      os === 'windows' ? goJson(windowsSpec, 0) : Buffer.from(packSpec(bareSpec(global.namespace)).value).toString();
    print(1, `${indentJson(text, '    ')}\n`);
  },
});

/** Before a container has an id, and devices of its own. */
function bareSpec(namespace: string): ReturnType<typeof defaultSpec> {
  const made = defaultSpec(namespace, '');
  const { linux = {} } = made;
  const devices = linux.resources?.devices?.filter(({ allow }) => !allow);
  const resources = { ...linux.resources, ...(devices === undefined ? {} : { devices }) };
  return { ...made, linux: { ...linux, resources, cgroupsPath: `/${namespace}` } };
}

const windowsSpec = {
  ociVersion,
  process: { user: { uid: 0, gid: 0 }, cwd: 'C:\\' },
  root: { path: '' },
  windows: { layerFolders: null },
};
