// Who may import whom. The table is DESIGN's and ARCHITECTURE.md's; `checkRooms` finds the imports that break it.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

export const table = {
  base: [],
  proto: [],
  sys: ['base'],
  core: ['base'],
  wire: ['base', 'proto'],
  metadata: ['base', 'core'],
  drivers: ['base', 'core', 'sys', 'wire', 'proto'],
  services: ['base', 'core', 'metadata'],
  doors: ['base', 'core', 'proto', 'wire', 'services'],
  shim: ['base', 'proto', 'sys', 'wire'],
  rootless: ['base', 'proto', 'sys', 'wire'],
  client: ['base', 'proto', 'sys', 'wire'],
  cli: ['base', 'client'],
  daemon: ['base', 'proto', 'sys', 'core', 'wire', 'metadata', 'drivers', 'services', 'doors'],
};

/** Packages that only one room may use; the rest of node_modules is for development. */
const packages = {
  '@bufbuild/protobuf': ['proto', 'wire', 'drivers', 'doors', 'shim', 'client'],
  koffi: ['sys'],
  'smol-toml': ['daemon', 'drivers'],
};

/** Folders within a room that must not see each other: doors, and each driver. */
function part(room, path) {
  const folders = path.split('/').slice(0, -1);
  if (room === 'doors') return folders[0] ?? '';
  if (room === 'drivers') return folders.slice(0, folders[0] === 'snapshotters' ? 2 : 1).join('/');
  return '';
}

/** A part sees itself, and what lies beside it for all of its kind: the files of the folders above. */
const sees = (mine, other) => other === '' || mine === other || mine.startsWith(`${other}/`);

/** Every import under `src` that breaks the table, as `file:line: reason`. */
export function checkRooms(src) {
  const faults = [];
  for (const file of sources(src)) {
    const [room] = relative(src, file).split('/');
    for (const { line, specifier } of importsOf(readFileSync(file, 'utf8'))) {
      const reason = table[room] === undefined ? `"${room}" is no room` : faultOf(src, file, room, specifier);
      if (reason !== undefined) faults.push(`${relative(dirname(src), file)}:${line}: ${reason}`);
    }
  }
  return faults;
}

function faultOf(src, file, room, specifier) {
  if (specifier.startsWith('node:')) return undefined;
  if (specifier.startsWith('.')) {
    const target = relative(src, resolve(dirname(file), specifier));
    // What tests share lies outside of the rooms.
    if (file.endsWith('.test.ts') && /^\.\.\/(test\/support|scripts\/lib)\//.test(target)) return undefined;
    if (!target.startsWith(`${room}/`)) return `"${specifier}" leaves the room "${room}": use #room/file.ts`;
    return partFault(room, file, src, target);
  }
  if (specifier.startsWith('#')) {
    const [other] = specifier.slice(1).split('/');
    if (other === room) return partFault(room, file, src, specifier.slice(1));
    if (table[other] === undefined) return `"${specifier}" names no room`;
    if (!table[room].includes(other)) return `"${room}" may not import "${other}" (${specifier})`;
    return undefined;
  }
  const name = specifier.startsWith('@') ? specifier.split('/').slice(0, 2).join('/') : specifier.split('/')[0];
  if (packages[name] === undefined) return `package "${name}" is not among those that a room may use`;
  if (!packages[name].includes(room)) return `"${room}" may not use the package "${name}"`;
  return undefined;
}

function partFault(room, file, src, target) {
  const from = relative(join(src, room), file);
  const to = target.slice(room.length + 1);
  const [mine, other] = [part(room, from), part(room, to)];
  if (mine === '' || sees(mine, other)) return undefined;
  return `"${room}/${mine}" may not see "${room}/${other}"`;
}

function* sources(directory) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    // Generated code imports only what its generator writes.
    if (entry.isDirectory()) yield* entry.name === 'gen' ? [] : sources(path);
    else if (/\.(ts|mts|js|mjs)$/.test(entry.name)) yield path;
  }
}

/** Static and dynamic imports, type imports and re-exports, with their lines; comments and other strings are skipped. */
export function importsOf(text) {
  const found = [];
  // In this order: comments, template and plain strings, then what introduces a specifier.
  const token =
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|(?<lead>\bfrom\s*|\bimport\s*\(\s*|\bimport\s+|\brequire\s*\(\s*|\bnew\s+URL\s*\(\s*)?(?<string>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`)/g;
  for (const { groups, index } of text.matchAll(token)) {
    if (groups?.lead === undefined) continue;
    const specifier = groups.string.slice(1, -1);
    // A worker's or a program's file is loaded by its URL: it counts when it is one of ours.
    if (/^new\s/.test(groups.lead) && !/^\.[\s\S]*\.(ts|js|mjs)$/.test(specifier)) continue;
    found.push({ specifier, line: text.slice(0, index).split('\n').length });
  }
  return found;
}
