import { defaultRuntime, runtimeInfo } from '#client/containerd/runtime-info.ts';
import { UsageFailure } from '../../failure.ts';
import { command } from '../command.ts';
import { printJson } from '../listing.ts';

export const inspectRuntime = command({
  usage: '[flags]',
  flags: {
    runtime: { kind: 'one', fallback: defaultRuntime, help: 'Runtime name or absolute path to runtime binary' },
    'runtime-config-path': { kind: 'one', help: 'Optional runtime config path' },
    'runc-binary': { kind: 'one', help: 'Specify runc-compatible binary' },
    'runc-root': { kind: 'one', help: 'Specify runc-compatible root' },
    'runc-systemd-cgroup': { kind: 'on', hidden: true, help: 'Start runc with systemd cgroup manager' },
  },
  takes: [0, 0],
  examples: [['plugins inspect-runtime --runc-binary crun', 'what crun can do']],
  async run({ door }, { flags }) {
    const { runtime, 'runc-binary': binary, 'runc-systemd-cgroup': systemd } = flags;
    if ((binary !== undefined || systemd) && runtime !== defaultRuntime) {
      const only = `only supported for "${defaultRuntime}" runtime`;
      throw new UsageFailure(`specifying runc-binary and runc-systemd-cgroup is ${only}`, 1);
    }
    if (systemd) {
      const example = '"machine.slice:foo:deadbeef"';
      throw new UsageFailure(`option --runc-systemd-cgroup requires --cgroup to be set, e.g. ${example}`, 1);
    }
    const query = { runtime, configPath: flags['runtime-config-path'], binary, root: flags['runc-root'] };
    printJson(await runtimeInfo(door, query));
  },
});
