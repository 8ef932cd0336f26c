// Debian packages that the tests, the quickstart and the benchmarks need. What a host may well have anyway is installed;
// what brings a service, or could clash with the host's own (Docker's packages, another busybox), is unpacked below
// .cache/debian and never touches the system.

import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join, relative } from 'node:path';
import { cache, privateBin } from './house.mjs';
import { run, tail } from './run.mjs';

/**
 * `command` is looked for on PATH, `files` at their places. `private` ones are always unpacked, because we want just
 * this release of the client whatever the host has, or never its service. Names for other distributions: see `others`.
 */
const packages = [
  { name: 'runc', command: 'runc' },
  { name: 'crun', command: 'crun' },
  { name: 'iptables', command: 'iptables' },
  { name: 'openssl', command: 'openssl' },
  { name: 'iproute2', command: 'ip' },
  { name: 'mount', command: 'mount' },
  { name: 'procps', command: 'ps' },
  { name: 'ca-certificates', files: ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt'] },
  {
    name: 'containernetworking-plugins',
    files: ['/usr/lib/cni/bridge', '/opt/cni/bin/bridge', '/usr/libexec/cni/bridge'],
  },
  { name: 'btrfs-progs', private: { 'mkfs.btrfs': 'sbin/mkfs.btrfs' } },
  { name: 'busybox-static', private: { busybox: 'bin/busybox' } },
  { name: 'docker-registry', private: { 'docker-registry': 'usr/bin/docker-registry' } },
  { name: 'containerd', private: { ctr: 'usr/bin/ctr', containerd: 'usr/bin/containerd' } },
  // Debian 12 has the client in docker.io; later releases keep it in docker-cli.
  { name: 'docker.io', private: { docker: 'usr/bin/docker' }, otherwise: 'docker-cli' },
];

const others = {
  dnf: 'dnf install runc crun iptables openssl iproute procps-ng containernetworking-plugins busybox',
  zypper: 'zypper install runc crun iptables openssl iproute2 procps cni-plugins busybox-static',
  pacman: 'pacman -S runc crun iptables openssl iproute2 procps-ng cni-plugins busybox',
  apk: 'apk add runc crun iptables openssl iproute2 procps mount cni-plugins busybox-static docker-cli containerd-ctr',
};

const privateRoot = join(cache, 'debian');

/**
 * Installs or unpacks what is missing. Gives the names of what is missing still, with `advice` in one line; it never
 * throws for a machine that cannot have them.
 */
export async function setupDebian(say, { only } = {}) {
  const wanted = packages.filter((one) => only === undefined || only.includes(one.name));
  const missing = wanted.filter((one) => !present(one));
  if (missing.length === 0) return { missing: [] };
  const names = missing.map((one) => one.name);
  if (!onPath('apt-get') || !onPath('dpkg')) return { missing: names, advice: otherDistribution(names) };
  const toInstall = missing.filter((one) => one.private === undefined);
  if (toInstall.length > 0 && process.getuid() !== 0) {
    const list = toInstall.map((one) => one.name).join(' ');
    return { missing: names, advice: `as root: apt-get install --no-install-recommends ${list}` };
  }
  try {
    await refreshLists(names, say);
    await installPackages(toInstall, say);
    for (const one of missing.filter((each) => each.private !== undefined)) await unpackPrivately(one, say);
  } catch (error) {
    return { missing: wanted.filter((one) => !present(one)).map((one) => one.name), advice: error.message };
  }
  return {
    missing: wanted.filter((one) => !present(one)).map((one) => one.name),
    advice: 'the packages came without the expected programs',
  };
}

function present(one) {
  if (one.private !== undefined) return Object.keys(one.private).every((name) => isExecutable(join(privateBin, name)));
  return one.command === undefined ? one.files.some((file) => existsSync(file)) : onPath(one.command);
}

function otherDistribution(names) {
  const manager = Object.keys(others).find((name) => onPath(name));
  const command = manager === undefined ? `your distribution's packages for: ${names.join(', ')}` : others[manager];
  return `this is not Debian; install what is missing with: ${command}`;
}

const onPath = (command) =>
  [privateBin, ...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'].some((dir) =>
    isExecutable(join(dir, command)),
  );

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const quiet = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' } };

/** Fetches the package lists, but only where apt does not know a package. */
async function refreshLists(names, say) {
  const known = await run('apt-cache', ['policy', ...names], quiet);
  const candidates = known.stdout.match(/^ {2}Candidate: (?!\(none\))/gm)?.length ?? 0;
  if (candidates < names.length) await updateLists(say);
}

async function updateLists(say) {
  say('fetching package lists (apt-get update)');
  await patiently(['update', '-qq']);
}

/** Runs apt-get, and waits where another one holds the lock: two minutes at most. */
async function patiently(args, options = {}) {
  const deadline = Date.now() + 120_000;
  for (;;) {
    const result = await run('apt-get', ['-o', 'DPkg::Lock::Timeout=120', ...args], { ...quiet, ...options });
    if (result.code === 0) return result;
    const locked = /Could not get lock|Unable to acquire|Unable to lock/.test(result.stderr);
    if (!locked || Date.now() > deadline)
      throw new Error(`apt-get ${args[0]} failed:\n${tail(result.stderr || result.stdout)}`);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

async function installPackages(list, say) {
  if (list.length === 0) return;
  const names = list.map((one) => one.name);
  const args = ['install', '-y', '-qq', '--no-install-recommends', '--no-remove', ...names];
  // A rehearsal first: where one would push out a package of the host, all of them go to our own directory instead.
  const rehearsal = await run('apt-get', [...args, '-s'], quiet);
  if (rehearsal.code !== 0) {
    for (const one of list) await unpackWithLibraries(one, say);
    return;
  }
  say(`installing Debian packages: ${names.join(' ')} (apt-get install --no-install-recommends --no-remove)`);
  await withoutServices(() =>
    patiently(args).catch(async () => {
      // The lists name a version that the mirror has replaced since.
      await updateLists(say);
      await patiently(args);
    }),
  );
}

const policy = '/usr/sbin/policy-rc.d';

/** Forbids maintainer scripts to start services meanwhile (the policy-rc.d of invoke-rc.d(8)), and puts back what was there. */
async function withoutServices(work) {
  const kept = existsSync(policy) ? `${policy}.hakobune-${process.pid}` : undefined;
  if (kept !== undefined) renameSync(policy, kept);
  const restore = () => (kept === undefined ? rmSync(policy, { force: true }) : renameSync(kept, policy));
  const onSignal = () => {
    restore();
    process.exit(130);
  };
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    chmodSync(policy, 0o755);
    return await work();
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    restore();
  }
}

/** Downloads a package (apt checks its signature) and unpacks it below .cache/debian; gives the directory. */
async function unpack(name, say) {
  const root = join(privateRoot, 'root', name);
  if (existsSync(root)) return root;
  say(`unpacking Debian package ${name} privately (into .cache/debian)`);
  const work = join(privateRoot, `work-${process.pid}`);
  mkdirSync(work, { recursive: true });
  try {
    await patiently(['download', '-qq', name], { cwd: work }).catch(async () => {
      await updateLists(say);
      await patiently(['download', '-qq', name], { cwd: work });
    });
    const archive = readdirSync(work).find((file) => file.endsWith('.deb'));
    if (archive === undefined) throw new Error(`apt-get download ${name} brought nothing`);
    const { code, stderr } = await run('dpkg', ['-x', join(work, archive), join(work, 'root')]);
    if (code !== 0) throw new Error(`dpkg -x ${archive} failed:\n${tail(stderr)}`);
    mkdirSync(join(privateRoot, 'root'), { recursive: true });
    renameSync(join(work, 'root'), root);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return root;
}

async function unpackPrivately(one, say) {
  mkdirSync(privateBin, { recursive: true });
  const named = Object.entries(one.private);
  let root = await unpack(one.name, say);
  if (one.otherwise !== undefined && !named.every(([, inside]) => existsSync(join(root, inside))))
    root = await unpack(one.otherwise, say);
  for (const [command, inside] of named) {
    rmSync(join(privateBin, command), { force: true });
    // Relative, so that the checkout may be moved.
    symlinkSync(relative(privateBin, join(root, inside)), join(privateBin, command));
  }
}

/** Unpacks a package with the libraries that are not installed, and makes starters that find them. */
async function unpackWithLibraries(one, say) {
  if (one.command === undefined)
    throw new Error(`${one.name} cannot be installed beside what this host has: install it by hand`);
  mkdirSync(privateBin, { recursive: true });
  const root = await unpack(one.name, say);
  const libraries = [];
  for (const name of await missingDependencies(one.name)) libraries.push(await unpack(name, say));
  const program = ['usr/sbin', 'usr/bin', 'sbin', 'bin']
    .map((dir) => join(root, dir, one.command))
    .find((path) => existsSync(path));
  if (program === undefined) throw new Error(`Debian's package ${one.name} has no program ${one.command}`);
  const triplet = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }[process.arch];
  const path = [root, ...libraries]
    .flatMap((dir) => [join(dir, 'usr/lib', triplet), join(dir, 'lib', triplet)])
    .join(':');
  const starter = `#!/bin/sh\nLD_LIBRARY_PATH='${path}' exec '${program}' "$@"\n`;
  writeFileSync(join(privateBin, one.command), starter, { mode: 0o755 });
}

async function missingDependencies(name) {
  const shown = await run('apt-cache', ['show', '--no-all-versions', name], quiet);
  const depends = /^Depends: (.*)$/m.exec(shown.stdout)?.[1] ?? '';
  const names = depends
    .split(',')
    .map((part) => part.trim().split(/[ (|:]/)[0])
    .filter((part) => part.startsWith('lib'));
  const missing = [];
  for (const each of names) {
    const state = await run('dpkg-query', ['-W', '-f', '${Status}', each], quiet);
    if (!/ok installed/.test(state.stdout)) missing.push(each);
  }
  return missing;
}
