// Bundles the command lines into dist/ and compiles them once, so that they start fast. Does nothing when nothing changed.

import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http2';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const home = join(dirname(fileURLToPath(import.meta.url)), '..');
const dist = join(home, 'dist');
const stampFile = join(dist, 'cli.stamp');
const programs = ['hako', 'hakoctl'];
const { version, devDependencies } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));

/** What the bundles are made of: sources, versions, and this script. */
function stamp() {
  const hash = createHash('sha256').update(JSON.stringify([version, devDependencies.esbuild, process.version]));
  for (const file of [fileURLToPath(import.meta.url), ...programs.map((name) => join(home, 'bin', name))])
    hash.update(readFileSync(file));
  for (const room of ['base', 'proto', 'sys', 'wire', 'client', 'cli']) {
    const names = readdirSync(join(home, 'src', room), { recursive: true }).map(String);
    for (const name of names.filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts')).sort()) {
      hash.update(`${room}/${name}\0`).update(readFileSync(join(home, 'src', room, name)));
    }
  }
  return hash.digest('hex');
}

async function bundle(name) {
  const { build } = await import('esbuild');
  const unfinished = join(dist, `${name}.cjs.${process.pid}`);
  await build({
    entryPoints: [join(home, 'src', 'cli', name, 'bin.ts')],
    outfile: unfinished,
    bundle: true,
    platform: 'node',
    // Its native half cannot be bundled; few commands make system calls.
    external: ['koffi'],
    // A classic script starts some milliseconds faster than a module.
    format: 'cjs',
    target: 'node24',
    minifySyntax: true,
    minifyWhitespace: true,
    // Names stay: a stack should say where it comes from.
    keepNames: false,
    define: { HAKOBUNE_VERSION: JSON.stringify(version), 'import.meta.url': '""' },
    logLevel: 'warning',
  });
  renameSync(unfinished, join(dist, `${name}.cjs`));
}

/** The flags that the launcher gives to Node: code that was compiled under others is not taken. */
function launcherFlags(name) {
  const [, flags = ''] = /^flags='(.*)'$/m.exec(readFileSync(join(home, 'bin', name), 'utf8')) ?? [];
  return flags.split(' ').filter((flag) => flag !== '');
}

/**
 * A command line each that loads what most commands need: Node keeps the compiled code of the first run. `hako` finds no
 * daemon; `hakoctl` finds one that answers every call with nothing, so that its gRPC client is compiled too.
 */
const warmUps = {
  hako: () => ['-H', 'unix:///nonexistent/hako.sock', 'ps', '-a'],
  hakoctl: (socket) => ['-a', socket, 'images', 'list'],
};

/** A gRPC server whose every answer is an empty message. */
function emptyServer() {
  const server = createServer();
  server.on('stream', (stream) => {
    stream.on('error', () => {});
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.end(Buffer.alloc(5));
  });
  return server;
}

/** Runs each bundle once, so that the compiled code is on disk, also for users who may not write there. */
async function compile() {
  const cache = join(dist, 'compiled');
  rmSync(cache, { recursive: true, force: true });
  const folder = mkdtempSync(join(tmpdir(), 'hako-build-'));
  const socket = join(folder, 's');
  const server = emptyServer();
  await new Promise((resolve) => server.listen(socket, resolve));
  for (const name of programs) {
    const words = [...launcherFlags(name), join(dist, `${name}.cjs`), ...warmUps[name](socket)];
    const child = spawn(process.execPath, words, {
      env: { ...process.env, NODE_COMPILE_CACHE: cache },
      stdio: 'ignore',
      timeout: 20_000,
    });
    await new Promise((resolve) => child.on('close', resolve).on('error', resolve));
  }
  server.close();
  rmSync(folder, { recursive: true, force: true });
  if (!existsSync(cache)) return;
  for (const file of readdirSync(cache, { recursive: true, withFileTypes: true })) {
    chmodSync(join(file.parentPath, file.name), file.isDirectory() ? 0o755 : 0o644);
  }
}

const wanted = stamp();
const current = existsSync(stampFile) ? readFileSync(stampFile, 'utf8') : '';
if (
  process.argv.includes('--force') ||
  current !== wanted ||
  programs.some((name) => !existsSync(join(dist, `${name}.cjs`)))
) {
  mkdirSync(dist, { recursive: true });
  for (const name of programs) await bundle(name);
  await compile();
  writeFileSync(stampFile, wanted);
}
