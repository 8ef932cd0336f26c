// Starts Debian's docker-registry on a free port of loopback with storage in a directory of its own, and stops it.
// Plain JavaScript for Node 20, shared by the quickstart, the benchmarks and the tests.

import { execFile, spawn } from 'node:child_process';
import { accessSync, constants, rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The one user of a registry started with `auth: 'basic'`. The registry knows only bcrypt, so the sum is written down. */
export const testUser = { username: 'harbour', password: 'rope-and-tar' };
const testUserSum = '$2b$05$abcdefghijklmnopqrstuuo6pUwnw05fPt.lsPu8j9ELJjbkWo9nm';

/** The path of the registry program, or undefined where it is not installed (package docker-registry). */
export function findRegistry() {
  for (const dir of (process.env.PATH ?? '').split(':').concat('/usr/bin', '/usr/local/bin')) {
    for (const name of ['docker-registry', 'registry']) {
      const path = join(dir, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        continue;
      }
    }
  }
  return undefined;
}

/**
 * A running registry. `tls` makes it speak TLS with a certificate that only `ca` of the result vouches for;
 * `auth` is 'basic' (the user `testUser`) or `{ realm, service, issuer, certificate }` for tokens.
 * Give `binary` where the program is not on PATH, `port` to come back to the same address, `dir` to keep the storage.
 */
export async function startRegistry({ tls, auth, binary = findRegistry(), port, dir, extra = '' } = {}) {
  if (binary === undefined) throw new Error('docker-registry is not installed: install the package docker-registry');
  const ownDir = dir === undefined;
  const home = dir ?? (await mkdtemp(join(tmpdir(), 'hako-registry-')));
  // A caller that dies without stopping its registry must not leave its storage behind either.
  const removeAtExit = () => rmSync(home, { recursive: true, force: true });
  if (ownDir) process.once('exit', removeAtExit);
  const remove = async () => {
    if (ownDir) await rm(home, { recursive: true, force: true });
    process.off('exit', removeAtExit);
  };
  try {
    const certificate = tls ? await selfSigned(home) : undefined;
    // Another program may take the port between our look and the start: then try the next one.
    for (let attempt = 1; ; attempt++) {
      const chosen = port ?? (await freePort());
      const child = await tryStart(binary, home, chosen, config(home, chosen, certificate, auth) + extra).catch(
        (error) => {
          if (attempt < 3 && port === undefined && /in use/.test(String(error))) return undefined;
          throw error;
        },
      );
      if (child === undefined) continue;
      const host = `127.0.0.1:${chosen}`;
      const stop = async () => {
        await end(child);
        await remove();
      };
      return {
        host,
        port: chosen,
        url: `${certificate ? 'https' : 'http'}://${host}`,
        pid: child.pid,
        dir: home,
        ca: certificate?.pem,
        caPath: certificate?.certificate,
        /** What the registry wrote so far. */
        log: () => child.text(),
        /** Ends the process and keeps the storage. */
        halt: () => end(child),
        stop,
        [Symbol.asyncDispose]: stop,
      };
    }
  } catch (error) {
    await remove();
    throw error;
  }
}

function config(home, port, certificate, auth) {
  const lines = [
    'version: 0.1',
    'log: { level: info, accesslog: { disabled: false } }',
    'storage:',
    '  filesystem:',
    `    rootdirectory: ${JSON.stringify(join(home, 'storage'))}`,
    '  delete: { enabled: true }',
    'http:',
    `  addr: 127.0.0.1:${port}`,
    `  secret: ${JSON.stringify('kept in this directory only')}`,
  ];
  if (certificate) {
    lines.push(
      '  tls:',
      `    certificate: ${JSON.stringify(certificate.certificate)}`,
      `    key: ${JSON.stringify(certificate.key)}`,
    );
  }
  if (auth === 'basic')
    lines.push('auth:', '  htpasswd:', '    realm: harbour', `    path: ${JSON.stringify(join(home, 'htpasswd'))}`);
  else if (auth) {
    lines.push(
      'auth:',
      '  token:',
      `    realm: ${JSON.stringify(auth.realm)}`,
      `    service: ${JSON.stringify(auth.service)}`,
    );
    lines.push(`    issuer: ${JSON.stringify(auth.issuer)}`, `    rootcertbundle: ${JSON.stringify(auth.certificate)}`);
  }
  return `${lines.join('\n')}\n`;
}

async function tryStart(binary, home, port, text) {
  await mkdir(join(home, 'storage'), { recursive: true });
  await writeFile(join(home, 'htpasswd'), `${testUser.username}:${testUserSum}\n`, { mode: 0o600 });
  const file = join(home, 'config.yml');
  await writeFile(file, text);
  // Nothing of the caller's environment: REGISTRY_* variables would change the configuration.
  const child = spawn(binary, ['serve', file], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH ?? '', HOME: home, OTEL_TRACES_EXPORTER: 'none' },
  });
  // A caller that dies without stopping its registry must not leave it behind.
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
  let written = '';
  const keep = (chunk) => {
    written = (written + chunk).slice(-256 * 1024);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  child.text = () => written;
  const failed = new Promise((_, reject) => {
    child.once('error', reject);
    child.once('exit', (code) =>
      reject(new Error(`${binary} ended with status ${code}: ${written.trim().split('\n').at(-1)}`)),
    );
  });
  failed.catch(() => {});
  const deadline = Date.now() + 20_000;
  try {
    while (!(await Promise.race([answers(port), failed]))) {
      if (Date.now() > deadline) throw new Error(`${binary} did not listen within 20 seconds: ${written.trim()}`);
      await Promise.race([new Promise((resolve) => setTimeout(resolve, 25)), failed]);
    }
  } catch (error) {
    await end(child);
    throw error;
  }
  return child;
}

async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const hard = setTimeout(() => child.kill('SIGKILL'), 3000);
  await gone;
  clearTimeout(hard);
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const done = (yes) => {
      socket.destroy();
      resolve(yes);
    };
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
  });
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A certificate for loopback that signs itself, made by openssl: `pem` is what a client has to trust. */
export async function selfSigned(dir, name = 'registry') {
  const key = join(dir, `${name}.key`);
  const certificate = join(dir, `${name}.crt`);
  await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'],
    ...['-keyout', key, '-out', certificate],
  ]);
  return { key, certificate, pem: await readFile(certificate, 'utf8') };
}
