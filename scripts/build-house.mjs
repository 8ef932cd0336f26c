// Bundles daemon and shim, with their worker threads, into dist/house/: what runs from there strips no types and loads a dozen
// files instead of hundreds, so it starts sooner and needs less memory. Does nothing when nothing changed.

import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const home = join(dirname(fileURLToPath(import.meta.url)), '..');
const src = join(home, 'src');
const target = join(home, 'dist', 'house');
const stampFile = join(home, 'dist', 'house.stamp');

const sources = readdirSync(src, { recursive: true })
  .map(String)
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !name.startsWith('cli/'))
  .sort();

/** What the bundles are made of: sources, versions, and this script. */
function stamp() {
  const { version, devDependencies } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  const hash = createHash('sha256').update(JSON.stringify([version, devDependencies.esbuild, process.version]));
  hash.update(readFileSync(fileURLToPath(import.meta.url)));
  for (const name of sources) hash.update(`${name}\0`).update(readFileSync(join(src, name)));
  return hash.digest('hex');
}

const threads = sources.filter((name) => /(^|[-/])worker\.ts$/.test(name));
const nameOf = (source) => source.slice(0, -3).replaceAll('/', '-');

/** Threads are started by URLs relative to their source; bundled, all lie in one directory under names of their own. */
const threadUrls = {
  name: 'thread-urls',
  setup(build) {
    build.onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const contents = readFileSync(path, 'utf8').replaceAll(
        /new URL\('(?:\.\/)?([\w-]+\.ts)', import\.meta\.url\)/g,
        (whole, file) => {
          const thread = join(dirname(path), file).slice(src.length + 1);
          if (!threads.includes(thread)) throw new Error(`${path}: "${file}" is no worker thread`);
          return `new URL('./${nameOf(thread)}.js', import.meta.url)`;
        },
      );
      return { contents, loader: 'ts' };
    });
  },
};

async function bundle() {
  const unfinished = `${target}.${process.pid}`;
  const entries = ['daemon/main.ts', 'shim/main.ts', ...threads];
  await build({
    entryPoints: entries.map((name) => ({ in: join(src, name), out: nameOf(name) })),
    outdir: unfinished,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    // Its native half cannot be bundled.
    external: ['koffi'],
    minifySyntax: true,
    minifyWhitespace: true,
    plugins: [threadUrls],
    logLevel: 'warning',
  });
  rmSync(target, { recursive: true, force: true });
  renameSync(unfinished, target);
}

const began = new Date();
const wanted = stamp();
const current = existsSync(stampFile) ? readFileSync(stampFile, 'utf8') : '';
if (process.argv.includes('--force') || current !== wanted || !existsSync(join(target, 'daemon-main.js'))) {
  mkdirSync(dirname(target), { recursive: true });
  await bundle();
  writeFileSync(stampFile, wanted);
}
// The launchers compare its date with the sources'.
utimesSync(stampFile, began, began);
