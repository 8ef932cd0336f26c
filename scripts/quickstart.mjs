// npm run quickstart [-- IMAGE COMMAND…]: from nothing to a container that ran, and back to nothing.

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDaemon } from './lib/daemon.mjs';
import { DockerApi } from './lib/docker-api.mjs';
import { privateBin } from './lib/house.mjs';
import { setup } from './lib/setup.mjs';
import { sweep } from './lib/traces.mjs';

const [image, ...command] = process.argv.slice(2);
const out = (text = '') => process.stdout.write(`${text}\n`);
const row = (name, text) => out(`  ${name.padEnd(10)}${text}`);

/** What is to be undone, last first; run once, however we leave. */
const undo = [];
/** @type {Promise<boolean> | undefined} */
let leaving;
const leave = () => (leaving ??= undoAll());

async function undoAll() {
  let clean = true;
  for (const step of undo.reverse()) {
    try {
      clean = (await step()) !== false && clean;
    } catch (error) {
      clean = false;
      process.stderr.write(`quickstart: cleaning up: ${error.message}\n`);
    }
  }
  return clean;
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
]) {
  process.once(signal, () => {
    out(`\n  ${signal}: stopping and cleaning up`);
    void leave().finally(() => process.exit(code));
  });
}

async function main() {
  out('\nHakobune quickstart\n');
  await prepare();
  const dir = mkdtempSync(join(tmpdir(), 'hako-'));
  undo.push(() => sweep(dir));
  const reference = image ?? (await publishOwnImage(dir));
  const daemon = await startDaemon({ dir: join(dir, 'd') });
  undo.push(async () => {
    const left = await daemon.end();
    for (const one of left) process.stderr.write(`quickstart: had to remove by force: ${one}\n`);
    return left.length === 0;
  });
  row('daemon', `hakod, pid ${daemon.pid}, in ${dir}`);
  return runImage(new DockerApi(daemon.dockerAddress), reference);
}

async function prepare() {
  if (process.getuid?.() !== 0) throw new Error('containers need root here: run it as root (sudo npm run quickstart)');
  const began = performance.now();
  const common = ['runc', 'crun', 'iptables', 'ca-certificates', 'containernetworking-plugins'];
  const { missing, advice } = await setup({
    only: image === undefined ? [...common, 'busybox-static', 'docker-registry'] : common,
  });
  if (missing.length > 0) throw new Error(`missing: ${missing.join(', ')}\n${advice}`);
  row('set up', `all that is needed is here (${seconds(performance.now() - began)})`);
}

/** Makes an image of this machine's busybox and pushes it to a registry of our own; gives its reference. */
async function publishOwnImage(dir) {
  process.env.PATH = `${privateBin}:${process.env.PATH}`;
  const { busyboxImage, pushImage } = await import('./lib/images.mjs');
  const { startRegistry } = await import('./lib/docker-registry.mjs');
  const registry = await startRegistry({ dir: join(dir, 'registry') });
  undo.push(() => registry.stop());
  row('registry', `docker-registry on ${registry.host}, pid ${registry.pid}`);
  const made = busyboxImage();
  await pushImage(registry.url, 'busybox', 'latest', made);
  const bytes = [...made.blobs.values()].reduce((sum, blob) => sum + blob.length, 0);
  row('image', `this machine's busybox as an OCI image, ${(bytes / 1e6).toFixed(1)} MB, pushed`);
  return `${registry.host}/busybox:latest`;
}

const greeting =
  'echo "Hello from a container: $(uname -sr), host name $(hostname)"; echo "The files it sees:" /*; exit 7';

async function runImage(api, reference) {
  const times = {};
  row('pull', reference);
  Object.assign(times, await timed(undefined, times, () => api.pull(reference)));
  delete times.kind;
  const words = image === undefined ? ['sh', '-c', greeting] : command;
  row('run', words.length === 0 ? 'the command of the image' : words.join(' '));
  out();
  const { Id: id } = await timed('create', times, () =>
    api.ask('POST', '/containers/create', {
      Image: reference,
      ...(words.length === 0 ? {} : { Cmd: words }),
      AttachStdout: true,
      AttachStderr: true,
      // The host's network: one of its own would leave a bridge on this machine.
      HostConfig: { NetworkMode: image === undefined ? 'none' : 'host' },
    }),
  );
  undo.push(() => api.ask('DELETE', `/containers/${id}?force=1&v=1`));
  const output = new Indented();
  const { ended } = await api.attach(id, (stream, bytes) => output.write(stream, bytes));
  await timed('start', times, () => api.ask('POST', `/containers/${id}/start`));
  const { StatusCode: code } = await timed('run', times, () => api.ask('POST', `/containers/${id}/wait`));
  await ended;
  output.end();
  out();
  row('exit code', String(code));
  out();
  for (const [stage, milliseconds] of Object.entries(times)) row(stage, seconds(milliseconds));
  out();
  // The demonstration ends with 7 on purpose, so that the exit code is seen to be the container's own.
  if (image !== undefined) return code;
  if (code !== 7) throw new Error(`the container should have ended with 7, and ended with ${code}`);
  return 0;
}

async function timed(stage, times, work) {
  const began = performance.now();
  const result = await work();
  if (stage !== undefined) times[stage] = performance.now() - began;
  return result;
}

const seconds = (milliseconds) =>
  milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(2)} s`;

/** Shows a container's output with a bar before each line. */
class Indented {
  #atStart = true;

  write(stream, bytes) {
    for (const line of bytes.toString().split(/(?<=\n)/)) {
      process[stream].write(this.#atStart ? `  | ${line}` : line);
      this.#atStart = line.endsWith('\n');
    }
  }

  end() {
    if (!this.#atStart) out();
  }
}

function farewell() {
  out('What to try next:');
  out(
    '  npm run quickstart -- docker.io/library/debian:12 cat /etc/os-release     any image, from the registry it names',
  );
  out('  bin/hakod &                                                               the daemon itself');
  out('  bin/hako run --rm -it docker.io/library/alpine sh                         our command line');
  out("  docker -H unix:///run/hakobune/docker.sock ps                             Docker's own client");
  out("  ctr -a /run/hakobune/hakobune.sock images ls                              containerd's own client");
  out('  npm test                                                                  every test\n');
}

try {
  const code = await main();
  if (leaving === undefined) {
    const clean = await leave();
    row('cleaned', clean ? 'daemon, shim and registry are gone; nothing is left' : 'by force: see the lines above');
    out();
    farewell();
    process.exit(clean || code !== 0 ? code : 1);
  }
  await leaving;
} catch (error) {
  if (leaving === undefined) {
    process.stderr.write(`\nquickstart: ${error.message}\n`);
    await leave();
    process.exit(1);
  }
}
