import type { Flags } from '../../flags.ts';

/** Flags of `run` and `containers create`, in the order of `ctr`'s help. */
export const runtimeFlags = {
  runtime: {
    kind: 'one',
    fallback: 'io.containerd.runc.v2',
    help: 'Runtime name or absolute path to runtime binary',
  },
  'runtime-config-path': { kind: 'one', help: 'Optional runtime config path' },
  'runc-binary': { kind: 'one', help: 'Specify runc-compatible binary' },
  'runc-root': { kind: 'one', help: 'Specify runc-compatible root' },
  'runc-systemd-cgroup': { kind: 'on', help: 'Start runc with systemd cgroup manager' },
} as const satisfies Flags;

export const snapshotFlags = {
  snapshotter: {
    kind: 'one',
    variable: 'CONTAINERD_SNAPSHOTTER',
    help: 'Snapshotter name. Empty value stands for the default value.',
  },
  'snapshotter-label': { kind: 'many', help: 'Labels added to the new snapshot for this container.' },
} as const satisfies Flags;

export const containerFlags = {
  config: { kind: 'one', short: 'c', help: 'Path to the runtime-specific spec config file' },
  cwd: { kind: 'one', help: 'Specify the working directory of the process' },
  env: { kind: 'many', help: 'Specify additional container environment variables (e.g. FOO=bar)' },
  'env-file': {
    kind: 'one',
    help: 'Specify additional container environment variables in a file(e.g. FOO=bar, one per line)',
  },
  label: { kind: 'many', help: 'Specify additional labels (e.g. foo=bar)' },
  annotation: { kind: 'many', help: 'Specify additional OCI annotations (e.g. foo=bar)' },
  mount: {
    kind: 'many',
    help: 'Specify additional container mount (e.g. type=bind,src=/tmp,dst=/host,options=rbind:ro)',
  },
  'net-host': { kind: 'on', help: 'Enable host networking for the container' },
  privileged: { kind: 'on', help: 'Run privileged container' },
  'read-only': { kind: 'on', help: 'Set the containers filesystem as readonly' },
  sandbox: { kind: 'one', help: 'Create the container in the given sandbox' },
  tty: { kind: 'on', short: 't', help: 'Allocate a TTY for the container' },
  'with-ns': {
    kind: 'many',
    help: "Specify existing Linux namespaces to join at container runtime (format '<nstype>:<path>')",
  },
  'pid-file': { kind: 'one', help: "File path to write the task's pid" },
  gpus: { kind: 'many', help: 'Add gpus to the container' },
  'allow-new-privs': { kind: 'on', help: "Turn off OCI spec's NoNewPrivileges feature flag" },
  'memory-limit': { kind: 'one', help: 'Memory limit (in bytes) for the container' },
  'cap-add': { kind: 'many', help: "Add Linux capabilities (Set capabilities with 'CAP_' prefix)" },
  'cap-drop': { kind: 'many', help: "Drop Linux capabilities (Set capabilities with 'CAP_' prefix)" },
  seccomp: { kind: 'on', help: 'Enable the default seccomp profile' },
  'seccomp-profile': {
    kind: 'one',
    help: 'File path to custom seccomp profile. seccomp must be set to true, before using seccomp-profile',
  },
  'apparmor-default-profile': {
    kind: 'one',
    help: 'Enable AppArmor with the default profile with the specified name, e.g. "cri-containerd.apparmor.d"',
  },
  'apparmor-profile': { kind: 'one', help: 'Enable AppArmor with an existing custom profile' },
  'blockio-config-file': {
    kind: 'one',
    help: 'File path to blockio class definitions. By default class definitions are not loaded.',
  },
  'blockio-class': { kind: 'one', help: 'Name of the blockio class to associate the container with' },
  'rdt-class': {
    kind: 'one',
    help: 'Name of the RDT class to associate the container with. Specifies a Class of Service (CLOS) for cache and memory bandwidth management.',
  },
  hostname: { kind: 'one', help: "Set the container's host name" },
  user: {
    kind: 'one',
    short: 'u',
    help: 'Username or user id, group optional (format: <name|uid>[:<group|gid>])',
  },
  rootfs: { kind: 'on', help: 'Use custom rootfs that is not managed by containerd snapshotter' },
  'no-pivot': { kind: 'on', help: 'Disable use of pivot-root (linux only)' },
  'cpu-quota': { kind: 'one', fallback: '-1', help: 'Limit CPU CFS quota' },
  'cpu-period': { kind: 'one', help: 'Limit CPU CFS period' },
  'rootfs-propagation': { kind: 'one', help: 'Set the propagation of the container rootfs' },
  device: {
    kind: 'many',
    help: 'File path to a device to add to the container; or a path to a directory tree of devices to add to the container',
  },
} as const satisfies Flags;

/** Flags that only `run` has. */
export const runFlags = {
  rm: { kind: 'on', help: 'Remove the container after running, cannot be used with --detach' },
  'null-io': { kind: 'on', help: 'Send all IO to /dev/null' },
  'log-uri': { kind: 'one', help: 'Log uri' },
  detach: {
    kind: 'on',
    short: 'd',
    help: 'Detach from the task after it has started execution, cannot be used with --rm',
  },
  'fifo-dir': { kind: 'one', help: 'Directory used for storing IO FIFOs' },
  cgroup: { kind: 'one', help: 'Cgroup path (To disable use of cgroup, set to "" explicitly)' },
  platform: { kind: 'one', help: 'Run image for specific platform' },
  cni: { kind: 'on', help: 'Enable cni networking for the container' },
  'sync-fs': {
    kind: 'on',
    help: 'Synchronize the underlying filesystem containing files when unpack images, false by default',
  },
  'dump-config': { kind: 'one', help: 'Dump the generated OCI config to a file' },
  uidmap: {
    kind: 'many',
    value: 'container-uid:host-uid:length',
    help: 'Run inside a user namespace with the specified UID mapping ranges',
  },
  gidmap: {
    kind: 'many',
    value: 'container-gid:host-gid:length',
    help: 'Run inside a user namespace with the specified GID mapping ranges',
  },
  'remap-labels': {
    kind: 'on',
    help: 'Provide the user namespace ID remapping to the snapshotter via label options; requires snapshotter support',
  },
  'privileged-without-host-devices': { kind: 'on', help: "Don't pass all host devices to privileged container" },
  cpus: { kind: 'one', fallback: '0', help: 'Set the CFS cpu quota' },
  'cpu-shares': { kind: 'one', fallback: '1024', help: 'Set the cpu shares' },
  'cpuset-cpus': { kind: 'one', help: 'Set the CPUs the container will run in (e.g., 1-2,4)' },
  'cpuset-mems': { kind: 'one', help: 'Set the memory nodes the container will run in (e.g., 1-2,4)' },
  'rlimit-nofile': { kind: 'one', help: 'Set RLIMIT_NOFILE (soft:hard)' },
} as const satisfies Flags;

export const createFlags = { ...runtimeFlags, ...snapshotFlags, ...containerFlags } as const satisfies Flags;
export const allRunFlags = { ...runFlags, ...createFlags } as const satisfies Flags;
