import type { Mount, Spec } from './types.ts';

const words = (text: string): string[] => text.trim().split(/\s+/);

/** What a container may do that is not told otherwise; in containerd's order. */
const capabilities = words(`
  CAP_CHOWN CAP_DAC_OVERRIDE CAP_FSETID CAP_FOWNER CAP_MKNOD CAP_NET_RAW CAP_SETGID CAP_SETUID CAP_SETFCAP CAP_SETPCAP
  CAP_NET_BIND_SERVICE CAP_SYS_CHROOT CAP_KILL CAP_AUDIT_WRITE
`);

const maskedPaths = words(`
  /proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats
  /proc/sched_debug /sys/firmware /sys/devices/virtual/powercap /proc/scsi
`);

const readonlyPaths = words('/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger');

const mount = (destination: string, type: string, source: string, options: string): Mount => ({
  destination,
  type,
  source,
  options: words(options),
});

/** Character devices that every container may use: null, random, full, tty, zero, urandom, console, all of pts, ptmx. */
const deviceNumbers: readonly (readonly [major: number, minor?: number])[] = [
  [1, 3],
  [1, 8],
  [1, 7],
  [5, 0],
  [1, 5],
  [1, 9],
  [5, 1],
  [136],
  [5, 2],
];

/** The version of the runtime spec whose fields we know. */
export const ociVersion = '1.2.1';

/** Access to a device of whatever kind: read, write, mknod. */
export const wholeAccess = 'rwm';

/** The spec that containerd's client library makes for a Linux container before anyone has asked for anything. */
export function defaultSpec(namespace: string, id: string): Spec {
  return {
    ociVersion,
    process: {
      user: { uid: 0, gid: 0 },
      cwd: '/',
      capabilities: { bounding: [...capabilities], effective: [...capabilities], permitted: [...capabilities] },
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: 'rootfs' },
    mounts: [
      mount('/proc', 'proc', 'proc', 'nosuid noexec nodev'),
      mount('/dev', 'tmpfs', 'tmpfs', 'nosuid strictatime mode=755 size=65536k'),
      mount('/dev/pts', 'devpts', 'devpts', 'nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5'),
      mount('/dev/shm', 'tmpfs', 'shm', 'nosuid noexec nodev mode=1777 size=65536k'),
      mount('/dev/mqueue', 'mqueue', 'mqueue', 'nosuid noexec nodev'),
      mount('/sys', 'sysfs', 'sysfs', 'nosuid noexec nodev ro'),
      mount('/run', 'tmpfs', 'tmpfs', 'nosuid strictatime mode=755 size=65536k'),
    ],
    linux: {
      resources: {
        devices: [
          { allow: false, access: wholeAccess },
          ...deviceNumbers.map(([major, minor]) => ({
            allow: true,
            type: 'c',
            major,
            ...(minor === undefined ? {} : { minor }),
            access: wholeAccess,
          })),
        ],
      },
      cgroupsPath: `/${namespace}/${id}`,
      namespaces: ['pid', 'ipc', 'uts', 'mount', 'network'].map((type) => ({ type })),
      maskedPaths: [...maskedPaths],
      readonlyPaths: [...readonlyPaths],
    },
  };
}
