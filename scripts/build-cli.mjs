// Bundles the command lines into dist/ and compiles them once, so that they start fast. Does nothing when nothing changed.

import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { spawnSync } from 'node:child_process';
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

/** Command lines that load what most commands need, and then find no daemon. */
const warmUps = {
  hako: [['-H', 'unix:///nonexistent/hako.sock', 'ps', '-a']],
  hakoctl: [
    ['-a', '/nonexistent/hako.sock', 'containers', 'list'],
    ['-a', '/nonexistent/hako.sock', 'images', 'list'],
  ],
};

/** Runs each bundle once, so that the compiled code is on disk, also for users who may not write there. */
function compile() {
  const cache = join(dist, 'compiled');
  rmSync(cache, { recursive: true, force: true });
  for (const name of programs) {
    for (const words of warmUps[name]) {
      spawnSync(process.execPath, [...launcherFlags(name), join(dist, `${name}.cjs`), ...words], {
        env: { ...process.env, NODE_COMPILE_CACHE: cache },
        stdio: 'ignore',
      });
    }
  }
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
  compile();
  writeFileSync(stampFile, wanted);
}
