import { logLevels } from '#base/log.ts';
import { choice, duration, entries, flag, free, integer, list, path, table, text, type ValueOf } from './fields.ts';

const id = { min: 0, max: 4_294_967_294 };
const uid = integer('Owner of the socket.', 0, id);
const gid = integer('Group of the socket; its members may connect.', 0, id);
const noEffect = { status: 'no-effect' } as const;
const messageSize = { min: 1024, max: 1_073_741_824 };

/** In containerd's words, short and long. */
const proxyTypes = [
  'snapshot',
  'content',
  'diff',
  'sandbox',
  'io.containerd.snapshotter.v1',
  'io.containerd.content.v1',
  'io.containerd.differ.v1',
  'io.containerd.sandbox.controller.v1',
] as const;

/** Every key that the daemon knows. containerd's names where the meaning is containerd's. */
export const schema = table('Configuration of hakod.', {
  version: integer('Version of this file: 2 or 3, as containerd counts them.', 3, { min: 2, max: 3 }),
  root: path('Where images, snapshots and the ledger are kept. Survives reboots.', '/var/lib/hakobune'),
  state: path('Where sockets, bundles and shims live. Lost at reboot.', '/run/hakobune'),
  temp: path("Where large temporary files go; empty means the system's own place.", '', noEffect),
  oom_score: integer('How readily the kernel kills the daemon when memory runs out (oom_score_adj).', 0, {
    min: -1000,
    max: 1000,
  }),
  imports: list(
    'More files to read, relative to this one. `*` and `?` work. Their values win over those of this file.',
  ),
  disabled_plugins: list('Plugins that are not to be started, such as "io.containerd.snapshotter.v1.native".'),
  required_plugins: list('Plugins without which the daemon refuses to start.'),
  grpc: table("The socket of containerd's API and of CRI.", {
    address: path('The unix socket.', '', { derived: '<state>/hakobune.sock' }),
    uid,
    gid,
    max_recv_message_size: integer('Largest request in bytes.', 16_777_216, messageSize),
    max_send_message_size: integer('Largest answer in bytes.', 16_777_216, messageSize),
    tcp_address: text(
      'A TCP address to listen at, such as "127.0.0.1:1234". Whoever connects without a client certificate is root.',
    ),
    tcp_tls_ca: path('Authority of client certificates at the TCP address; with it, every client needs one.'),
    tcp_tls_cert: path('Certificate of the TCP address.'),
    tcp_tls_key: path('Key of that certificate.'),
    tcp_tls_common_name: text('Common name that a client certificate must bear; needs tcp_tls_ca.'),
  }),
  ttrpc: table("The socket of containerd's ttrpc API.", {
    address: path('The unix socket.', '', { derived: '<grpc address>.ttrpc' }),
    uid,
    gid,
  }),
  docker: table("The socket of Docker's Engine API. A section of our own.", {
    address: path('The unix socket.', '', { derived: '<state>/docker.sock' }),
    uid,
    gid,
    group: text('Name of the group whose members may connect. Wins over gid.'),
  }),
  journal: table('The event journal, which outlives the daemon. A section of our own.', {
    max_age: duration('How long events are kept.', 7 * 24 * 3_600_000),
    max_bytes: integer('How much of them is kept, in bytes; 0 keeps none.', 67_108_864, { min: 0, max: 4_294_967_296 }),
  }),
  debug: table('What the daemon says about itself.', {
    level: choice('From which level on it is written.', logLevels, 'info'),
    format: choice('`auto` is text on a terminal and JSON lines elsewhere.', ['auto', 'text', 'json'], 'auto'),
    address: path('A socket where `curl --unix-socket` gets profiles of the daemon; its page / says how.'),
    uid,
    gid,
  }),
  metrics: table('Prometheus metrics.', {
    address: text('The TCP address that serves them.', '', noEffect),
    grpc_histogram: flag('Whether the times of gRPC calls are kept as histograms.', false, noEffect),
  }),
  cgroup: table("The daemon's own cgroup.", {
    path: text('The cgroup to move into, made if there is none.'),
  }),
  shim: table('The processes that keep containers. A section of our own.', {
    group: choice('How many containers share a shim.', ['daemon'], 'daemon', ['namespace', 'pod', 'container']),
  }),
  timeouts: table('How long to wait for what.', {
    'io.containerd.timeout.shim.load': duration('For a shim to answer after a start of the daemon.', 5000, noEffect),
    'io.containerd.timeout.shim.cleanup': duration('For what a dead shim left to be removed.', 5000, noEffect),
    'io.containerd.timeout.shim.shutdown': duration('For a shim to end.', 3000, noEffect),
    'io.containerd.timeout.task.state': duration('For a shim to tell the state of a task.', 2000, noEffect),
    'io.containerd.timeout.metrics.shimstats': duration('For a shim to tell its statistics.', 2000, noEffect),
    'io.containerd.timeout.bolt.open': duration("For containerd's database, which is not used here.", 0, noEffect),
    'io.containerd.timeout.cri.defercleanup': duration('For a failed CRI request to be undone.', 60_000, noEffect),
    'hakobune.timeout.shutdown': duration('For running requests to end when the daemon stops.', 10_000),
  }),
  plugins: free('One table a plugin, named by type and id: [plugins."io.containerd.snapshotter.v1.overlayfs"].'),
  proxy_plugins: entries(
    'Plugins behind a socket, by the names they are to have.',
    table('', {
      type: choice("What it is: a short name, or the plugin's type.", proxyTypes, 'snapshot'),
      address: path('Its unix socket.', ''),
      platform: text('The platform it serves, such as "linux/amd64". Empty means this machine\'s.'),
      exports: free('Facts that it tells about itself.'),
      capabilities: list('What it can do.'),
    }),
  ),
  stream_processors: entries(
    'Programs that turn one media type of layers into another. They come before what the daemon can do itself.',
    table('', {
      accepts: list('Media types it takes.'),
      returns: text('Media type it gives.', ''),
      path: text('The program.', ''),
      args: list('Its arguments.'),
      env: list('Its environment.'),
    }),
  ),
});

/** The checked configuration: containerd's keys by containerd's names, time spans in milliseconds. */
export type Config = ValueOf<typeof schema>;
