import type { Flags } from '../flags.ts';

const process = {
  interactive: { kind: 'on', short: 'i', help: 'Keep STDIN open even if not attached' },
  tty: { kind: 'on', short: 't', help: 'Allocate a pseudo-TTY' },
  attach: { kind: 'many', short: 'a', help: 'Attach to STDIN, STDOUT or STDERR' },
  env: { kind: 'many', short: 'e', help: 'Set environment variables (NAME takes the value from here)' },
  'env-file': { kind: 'many', help: 'Read in a file of environment variables' },
  entrypoint: { kind: 'one', help: "Overwrite the image's entry point" },
  workdir: { kind: 'one', short: 'w', help: 'Working directory inside the container' },
  user: { kind: 'one', short: 'u', help: 'Username or UID (NAME|UID[:GROUP|GID])' },
  'group-add': { kind: 'many', help: 'Add additional groups to join' },
  hostname: { kind: 'one', short: 'h', help: 'Container host name' },
  domainname: { kind: 'one', help: 'Container NIS domain name' },
  'stop-signal': { kind: 'one', help: 'Signal to stop the container' },
  'stop-timeout': { kind: 'one', value: 'int', help: 'Time (in seconds) to wait before killing it on stop' },
  init: { kind: 'on', help: 'Run an init inside the container' },
} as const satisfies Flags;

const identity = {
  name: { kind: 'one', help: 'Assign a name to the container' },
  label: { kind: 'many', short: 'l', help: 'Set meta data on a container' },
  'label-file': { kind: 'many', help: 'Read in a line delimited file of labels' },
  annotation: { kind: 'many', help: 'Add an annotation for the OCI runtime' },
  cidfile: { kind: 'one', help: 'Write the container ID to the file' },
  pull: { kind: 'one', help: 'Pull the image before: "always", "missing" or "never" (default "missing")' },
  platform: { kind: 'one', help: 'Platform of the image, such as linux/arm64' },
  quiet: { kind: 'on', short: 'q', help: 'Suppress the pull output' },
  rm: { kind: 'on', help: 'Remove the container and its anonymous volumes when it exits' },
  restart: { kind: 'one', help: 'Restart policy: no, on-failure[:N], always, unless-stopped (default "no")' },
  runtime: { kind: 'one', help: 'Runtime to use for this container' },
  'log-driver': { kind: 'one', help: 'Logging driver for the container' },
  'log-opt': { kind: 'many', help: 'Log driver options' },
  'health-cmd': { kind: 'one', help: 'Command to run to check health' },
  'health-interval': { kind: 'one', value: 'duration', help: 'Time between running the check (ms|s|m|h)' },
  'health-timeout': { kind: 'one', value: 'duration', help: 'Maximum time to allow one check to run (ms|s|m|h)' },
  'health-start-period': { kind: 'one', value: 'duration', help: 'Start period before failures count (ms|s|m|h)' },
  'health-start-interval': {
    kind: 'one',
    value: 'duration',
    help: 'Time between checks during the start period (ms|s|m|h)',
  },
  'health-retries': { kind: 'one', value: 'int', help: 'Consecutive failures needed to report unhealthy' },
  'no-healthcheck': { kind: 'on', help: 'Disable any container-specified HEALTHCHECK' },
} as const satisfies Flags;

const storage = {
  volume: { kind: 'many', short: 'v', help: 'Bind mount a volume ([SOURCE:]TARGET[:OPTIONS])' },
  mount: { kind: 'many', value: 'mount', help: 'Attach a mount (type=bind,source=…,target=…)' },
  tmpfs: { kind: 'many', help: 'Mount a tmpfs directory (PATH[:OPTIONS])' },
  'volumes-from': { kind: 'many', help: 'Mount volumes from the given containers' },
  'volume-driver': { kind: 'one', help: 'Volume driver for the container' },
  'storage-opt': { kind: 'many', help: 'Storage driver options for the container' },
  'read-only': { kind: 'on', help: "Mount the container's root filesystem as read only" },
  'shm-size': { kind: 'one', value: 'bytes', help: 'Size of /dev/shm' },
} as const satisfies Flags;

const network = {
  network: { kind: 'one', alias: 'net', help: 'Connect the container to a network: bridge, host, none' },
  'network-alias': { kind: 'many', alias: 'net-alias', help: 'Add network-scoped alias for the container' },
  publish: { kind: 'many', short: 'p', help: "Publish a container's ports to the host ([[IP:]HOST:]PORT[/PROTO])" },
  'publish-all': { kind: 'on', short: 'P', help: 'Publish all exposed ports to random ports' },
  expose: { kind: 'many', help: 'Expose a port or a range of ports' },
  dns: { kind: 'many', help: 'Set custom DNS servers' },
  'dns-option': { kind: 'many', alias: 'dns-opt', help: 'Set DNS options' },
  'dns-search': { kind: 'many', help: 'Set custom DNS search domains' },
  'add-host': { kind: 'many', help: 'Add a custom host-to-IP mapping (HOST:IP)' },
  'mac-address': { kind: 'one', help: 'Container MAC address' },
  ip: { kind: 'one', help: 'IPv4 address' },
  ip6: { kind: 'one', help: 'IPv6 address' },
  link: { kind: 'many', help: 'Add link to another container' },
} as const satisfies Flags;

const resources = {
  memory: { kind: 'one', short: 'm', value: 'bytes', help: 'Memory limit' },
  'memory-reservation': { kind: 'one', value: 'bytes', help: 'Memory soft limit' },
  'memory-swap': { kind: 'one', value: 'bytes', help: "Limit of memory and swap together; '-1' is unlimited swap" },
  'memory-swappiness': { kind: 'one', value: 'int', help: 'Tune container memory swappiness (0 to 100)' },
  'oom-kill-disable': { kind: 'on', help: 'Disable OOM Killer' },
  'oom-score-adj': { kind: 'one', value: 'int', help: "Tune host's OOM preferences (-1000 to 1000)" },
  cpus: { kind: 'one', value: 'decimal', help: 'Number of CPUs' },
  'cpu-shares': { kind: 'one', short: 'c', value: 'int', help: 'CPU shares (relative weight)' },
  'cpu-period': { kind: 'one', value: 'int', help: 'Limit CPU CFS period, in microseconds' },
  'cpu-quota': { kind: 'one', value: 'int', help: 'Limit CPU CFS quota, in microseconds' },
  'cpu-rt-period': { kind: 'one', value: 'int', help: 'Limit CPU real-time period, in microseconds' },
  'cpu-rt-runtime': { kind: 'one', value: 'int', help: 'Limit CPU real-time runtime, in microseconds' },
  'cpuset-cpus': { kind: 'one', help: 'CPUs in which to allow execution (0-3, 0,1)' },
  'cpuset-mems': { kind: 'one', help: 'MEMs in which to allow execution (0-3, 0,1)' },
  'blkio-weight': { kind: 'one', value: 'int', help: 'Block IO weight, 10 to 1000' },
  'pids-limit': { kind: 'one', value: 'int', help: 'Tune container pids limit (-1 is unlimited)' },
  ulimit: { kind: 'many', value: 'ulimit', help: 'Ulimit options (NAME=SOFT[:HARD])' },
  device: { kind: 'many', help: 'Add a host device to the container' },
  'device-cgroup-rule': { kind: 'many', help: 'Add a rule to the cgroup allowed devices list' },
  gpus: { kind: 'one', help: "GPU devices to add to the container ('all', or a number)" },
  'cgroup-parent': { kind: 'one', help: 'Optional parent cgroup for the container' },
} as const satisfies Flags;

const isolation = {
  privileged: { kind: 'on', help: 'Give extended privileges to this container' },
  'cap-add': { kind: 'many', help: 'Add Linux capabilities' },
  'cap-drop': { kind: 'many', help: 'Drop Linux capabilities' },
  'security-opt': { kind: 'many', help: 'Security options' },
  sysctl: { kind: 'many', value: 'map', help: 'Sysctl options' },
  ipc: { kind: 'one', help: 'IPC mode to use' },
  pid: { kind: 'one', help: 'PID namespace to use' },
  uts: { kind: 'one', help: 'UTS namespace to use' },
  userns: { kind: 'one', help: 'User namespace to use' },
  cgroupns: { kind: 'one', help: 'Cgroup namespace to use (host|private)' },
} as const satisfies Flags;

/** The flags that `run` and `create` share. */
export const createFlags = {
  ...process,
  ...identity,
  ...storage,
  ...network,
  ...resources,
  ...isolation,
} as const satisfies Flags;
