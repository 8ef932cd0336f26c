// Names in package-lock.json the packages for other platforms that a registry did not have when npm wrote it: npm leaves
// them out then, and `npm ci` refuses the file everywhere afterwards. Run it after each `npm install`:
//
//   node scripts/complete-lock.mjs

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { house } from './lib/house.mjs';

const file = join(house, 'package-lock.json');
const lock = JSON.parse(readFileSync(file, 'utf8'));
const systems = /\b(android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32)-([a-z0-9_]+)(?:-([a-z]+))?$/;

/** What npm would have written, read from the package's name; without a checksum, which only the registry knows. */
function entryOf(name, version, dev) {
  const [, os, cpu, abi = ''] = systems.exec(name) ?? [];
  if (os === undefined) throw new Error(`${name}: its name does not say for which platform it is`);
  const libc = os === 'linux' && abi !== '' ? { libc: [abi.startsWith('musl') ? 'musl' : 'glibc'] } : {};
  const processor = { armv7: 'arm', aarch64: 'arm64' }[cpu] ?? cpu;
  return { version, cpu: [processor], ...(dev && { dev }), ...libc, optional: true, os: [os] };
}

let added = 0;
for (const { dev, optionalDependencies = {} } of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    if (lock.packages[`node_modules/${name}`] !== undefined) continue;
    lock.packages[`node_modules/${name}`] = entryOf(name, version, dev);
    added += 1;
  }
}
const { '': root, ...rest } = lock.packages;
lock.packages = { '': root, ...Object.fromEntries(Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1))) };
if (added > 0) writeFileSync(file, `${JSON.stringify(lock, undefined, 2)}\n`);
process.stdout.write(`complete-lock: ${added} packages added\n`);
