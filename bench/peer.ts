import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { delimiter, dirname, join } from 'node:path';
import { privateBin } from '../scripts/lib/house.mjs';

/** A containerd of its own below `dir`, and how its client is called. */
export interface Peer {
  readonly name: string;
  readonly address: string;
  readonly ctr: string;
  /** The command of a shell that sees it. */
  readonly shell: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Starts a private containerd: Debian's by default, the one in a directory, or the one that a command prefix reaches
 * (`peer` is then that command); `plugins` is more of its configuration. It does not touch a containerd of the host.
 */
export async function startPeer(
  dir: string,
  peer: string | undefined,
  undo: AsyncDisposableStack,
  plugins = '',
): Promise<Peer> {
  const place = placeOf(peer);
  mkdirSync(dir, { recursive: true });
  const address = join(dir, 'c.sock');
  writeFileSync(join(dir, 'config.toml'), `${configuration(dir, address)}${plugins}`);
  const [program, ...before] = [...place.prefix, place.containerd];
  const env = { ...process.env, PATH: `${place.path}${delimiter}${process.env['PATH'] ?? ''}`, SHARE: dir };
  const child = spawn(program, [...before, '--config', join(dir, 'config.toml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env,
  });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-16_384)));
  const gone = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('close', () => resolve());
  });
  undo.defer(async () => {
    child.kill('SIGTERM');
    await gone;
  });
  const failed = gone.then(() => {
    throw new Error(`the peer's containerd ended:\n${log}`);
  });
  failed.catch(() => undefined);
  await Promise.race([listening(address), failed]);
  return { name: 'containerd', address, ctr: place.ctr, shell: [...place.prefix, 'sh'], env };
}

interface Place {
  readonly prefix: readonly string[];
  readonly containerd: string;
  readonly ctr: string;
  readonly path: string;
}

function placeOf(peer: string | undefined): Place {
  const directory = peer === undefined ? privateBin : peer;
  if (existsSync(directory) && statSync(directory).isDirectory()) {
    const containerd = join(directory, 'containerd');
    if (!existsSync(containerd))
      throw new Error(`"${directory}" has no containerd: run npm run bench once, or give another --peer`);
    // The shim lies beside the real program.
    const real = dirname(realpathSync(containerd));
    return { prefix: [], containerd, ctr: join(real, 'ctr'), path: real };
  }
  return { prefix: directory.split(' '), containerd: 'containerd', ctr: 'ctr', path: '' };
}

const configuration = (dir: string, address: string): string => `version = 2
root = "${dir}/root"
state = "${dir}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images"]
[grpc]
address = "${address}"
[debug]
level = "warn"
`;

async function listening(address: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await answers(address))) {
    if (Date.now() > deadline) throw new Error(`the peer's containerd did not open "${address}" within 30 seconds`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const answers = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
