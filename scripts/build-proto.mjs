// Generates src/proto/gen from the .proto files by buf and protoc-gen-es, both from node_modules: no network needed.
// Skips when neither they nor their versions changed. Plain JavaScript, so that any Node from 20 on can run it.
//
//   node scripts/build-proto.mjs [--force]
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const house = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(house, 'src/proto');
const gen = join(source, 'gen');
const stampFile = join(gen, '.stamp');

/** Every .proto file below a directory, in a fixed order. */
function protos(directory) {
  return readdirSync(directory, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) return path === gen ? [] : protos(path);
      return entry.name.endsWith('.proto') ? [path] : [];
    });
}

/** What the generated code depends on: the sources, this script and the two tools' versions. */
function stampOf(files) {
  const hash = createHash('sha256');
  for (const file of [fileURLToPath(import.meta.url), ...files]) {
    hash
      .update(`${relative(house, file)}\0`)
      .update(readFileSync(file))
      .update('\0');
  }
  for (const tool of ['@bufbuild/buf', '@bufbuild/protoc-gen-es']) {
    const manifest = JSON.parse(readFileSync(join(house, 'node_modules', tool, 'package.json'), 'utf8'));
    hash.update(`${tool}@${manifest.version}\n`);
  }
  return hash.digest('hex');
}

/** Runs buf into `out`. Its configuration is given in place: the repository needs no buf.yaml. */
function generate(out) {
  const template = {
    version: 'v2',
    plugins: [
      {
        // Run by the very Node that runs us: a fresh machine may have no `node` that the tool's own first line finds.
        local: [process.execPath, join(house, 'node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es')],
        out,
        strategy: 'all',
        opt: ['target=ts', 'import_extension=ts', 'erasable_syntax=true'],
      },
    ],
  };
  const config = { version: 'v2', modules: [{ path: '.', excludes: ['gen'] }] };
  const buf = join(house, 'node_modules/@bufbuild/buf/bin/buf');
  const args = [buf, 'generate', '.', '--template', JSON.stringify(template), '--config', JSON.stringify(config)];
  const { status, error, stderr } = spawnSync(process.execPath, args, { cwd: source, encoding: 'utf8' });
  if (status !== 0) throw new Error(`buf generate failed: ${error?.message ?? stderr.trim()}`);
}

if (!existsSync(join(house, 'node_modules/@bufbuild/buf'))) {
  console.error('build-proto: node_modules has no @bufbuild/buf; run "npm ci" first');
  process.exit(1);
}
const files = protos(source);
const stamp = stampOf(files);
const force = process.argv.includes('--force');
if (force || !existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== stamp) {
  // Into a directory beside, then renamed: whoever imports meanwhile sees the old code or the new, hardly ever none.
  mkdirSync(join(house, '.cache'), { recursive: true });
  const fresh = mkdtempSync(join(house, '.cache/proto-'));
  try {
    const out = join(fresh, 'new');
    generate(out);
    writeFileSync(join(out, '.stamp'), stamp);
    if (existsSync(gen)) renameSync(gen, join(fresh, 'old'));
    renameSync(out, gen);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  console.log(`build-proto: generated src/proto/gen from ${files.length} files`);
}
