import { readFileSync } from 'node:fs';
import os from 'node:os';
import { invalid } from './errors.ts';

/** OCI image-spec, image-index.md. `core/images.ts` has the same shape. */
export interface PlatformWords {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly 'os.version'?: string;
}

/** Go's names for what `process.arch` calls differently. */
const goArchitectures: Readonly<Record<string, string>> = {
  x64: 'amd64',
  ia32: '386',
  ppc64: 'ppc64le',
  mipsel: 'mipsle',
};

const knownSystems = new Set([
  'aix',
  'android',
  'darwin',
  'dragonfly',
  'freebsd',
  'illumos',
  'ios',
  'js',
  'linux',
  'netbsd',
  'openbsd',
  'plan9',
  'solaris',
  'windows',
]);
const knownArchitectures = new Set([
  '386',
  'amd64',
  'arm',
  'arm64',
  'loong64',
  'mips',
  'mipsle',
  'mips64',
  'mips64le',
  'ppc64',
  'ppc64le',
  'riscv64',
  's390x',
  'wasm',
]);

function make(system: string, architecture: string, variant: string, version = ''): PlatformWords {
  return {
    os: system,
    architecture,
    ...(variant === '' ? {} : { variant }),
    ...(version === '' ? {} : { 'os.version': version }),
  };
}

/** The many spellings of an architecture, as one. A variant that is the default of its architecture goes away. */
function normalizeArchitecture(architecture: string, variant: string): [architecture: string, variant: string] {
  const name = architecture.toLowerCase();
  const version = variant.toLowerCase();
  switch (name) {
    case 'i386':
      return ['386', ''];
    case 'x86_64':
    case 'x86-64':
    case 'amd64':
      return ['amd64', version === 'v1' ? '' : version];
    case 'aarch64':
    case 'arm64':
      if (['8', 'v8', 'v8.0'].includes(version)) return ['arm64', ''];
      return ['arm64', ['9', '9.0', 'v9.0'].includes(version) ? 'v9' : version];
    case 'armhf':
      return ['arm', 'v7'];
    case 'armel':
      return ['arm', 'v6'];
    case 'arm':
      if (version === '' || version === '7') return ['arm', 'v7'];
      return ['arm', /^[568]$/.test(version) ? `v${version}` : version];
    default:
      return [name, version];
  }
}

const normalizeSystem = (system: string): string => {
  const name = system.toLowerCase();
  return name === 'macos' ? 'darwin' : name;
};

/** The platform with one spelling for each thing, so that two may be compared. */
export function normalizePlatform(platform: PlatformWords): PlatformWords {
  const [architecture, variant] = normalizeArchitecture(platform.architecture, platform.variant ?? '');
  return make(normalizeSystem(platform.os), architecture, variant, platform['os.version']);
}

/**
 * Reads `linux/arm64/v8`, `linux/amd64`, `windows(10.0.17763)/amd64`, or one half alone (`arm64`, `linux`), the rest
 * being this machine's. invalid-argument when it is none of these.
 */
export function parsePlatform(text: string): PlatformWords {
  const parts = text.split('/', 5);
  const first = /^([A-Za-z0-9_.-]+)(?:\(([A-Za-z0-9_.-]*)\))?$/.exec(parts[0] ?? '');
  if (text.length > 128 || first === null || !parts.slice(1).every((part) => /^[A-Za-z0-9_.-]+$/.test(part))) {
    throw invalid(
      `platform "${text.slice(0, 128)}": want os, architecture, os/architecture or os/architecture/variant, such as linux/arm64/v8`,
    );
  }
  const [, name = '', version = ''] = first;
  const [, second, third] = parts;
  if (second === undefined) return parseHalf(text, name, version);
  if (parts.length > 3)
    throw invalid(`platform "${text}": cannot parse platform specifier: too many parts, want os/architecture/variant`);
  const [architecture, variant] = normalizeArchitecture(second, third ?? '');
  // A bare arm stays bare: what it may run is for the matcher to say.
  if (third === undefined)
    return make(
      normalizeSystem(name),
      architecture,
      architecture === 'arm' && variant === 'v7' ? '' : variant,
      version,
    );
  return make(
    normalizeSystem(name),
    architecture,
    architecture === 'arm64' && variant === '' ? 'v8' : variant,
    version,
  );
}

function parseHalf(text: string, name: string, version: string): PlatformWords {
  const host = hostPlatform();
  const system = normalizeSystem(name);
  if (knownSystems.has(system)) {
    const variant = host.architecture === 'arm' && host.variant !== 'v7' ? (host.variant ?? '') : '';
    return make(system, host.architecture, variant, version);
  }
  const [architecture, variant] = normalizeArchitecture(name, '');
  if (!knownArchitectures.has(architecture))
    throw invalid(`platform "${text}": unknown operating system or architecture`);
  return make(host.os, architecture, architecture === 'arm' && variant === 'v7' ? '' : variant, version);
}

/** `os/architecture[/variant]`, as people write it. */
export const formatPlatform = (platform: PlatformWords): string =>
  platform.os === ''
    ? 'unknown'
    : [platform.os, platform.architecture, platform.variant ?? ''].filter((part) => part !== '').join('/');

let host: PlatformWords | undefined;

/** What this machine is. On ARM the variant is what the processor says. */
export function hostPlatform(): PlatformWords {
  host ??= make(
    process.platform,
    goArchitectures[process.arch] ?? process.arch,
    process.arch.startsWith('arm') ? armVariant() : '',
  );
  return host;
}

/** The version of the ARM architecture: from /proc/cpuinfo, or by the machine's name where an emulator hides it. */
function armVariant(): string {
  let cpuInfo = '';
  try {
    cpuInfo = readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    // Not mounted: the machine's name is left.
  }
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}\\s*:\\s*(\\S.*)$`, 'im').exec(cpuInfo)?.[1]?.trim().toLowerCase();
  let version = field('cpu architecture') ?? /^armv(\d)/.exec(os.machine())?.[1] ?? '8';
  // The first Raspberry Pi says 7 of itself and is a 6.
  if (process.arch === 'arm' && version === '7' && field('model name')?.startsWith('armv6-compatible') === true)
    version = '6';
  const digit = version === 'aarch64' ? '8' : (/^\d+/.exec(version)?.[0] ?? '7');
  return `v${digit}`;
}

/** What each arm64 version may run as well: its own line down to .0, and for v9.x also v8.(x+5) and below. */
function arm64Variants(variant: string): string[] {
  const matched = /^v([89])(?:\.(\d))?$/.exec(variant === '' ? 'v8' : variant);
  if (matched === null) return [];
  const down = (major: number, minor: number): string[] =>
    Array.from({ length: minor + 1 }, (_, step) => (step === minor ? `v${major}` : `v${major}.${minor - step}`));
  const minor = Number(matched[2] ?? 0);
  return matched[1] === '8' ? down(8, minor) : [...down(9, minor), ...down(8, Math.min(9, minor + 5))];
}

/** All that `platform` can run, best first, as containerd's default matcher has it. */
export function platformPreference(platform: PlatformWords): PlatformWords[] {
  const wanted = normalizePlatform(platform);
  const version = wanted['os.version'];
  const { os: system, architecture, variant = '' } = wanted;
  const number = Number(variant.slice(1));
  if (architecture === 'amd64') {
    const lower = number > 1 && number <= 9 ? Array.from({ length: number - 1 }, (_, step) => number - 1 - step) : [];
    return [
      wanted,
      ...lower.map((step) => make(system, 'amd64', step === 1 ? '' : `v${step}`, version)),
      make(system, '386', '', version),
    ];
  }
  if (architecture === 'arm') {
    const lower = number > 5 && number <= 9 ? Array.from({ length: number - 5 }, (_, step) => number - 1 - step) : [];
    return [wanted, ...lower.map((step) => make(system, 'arm', `v${step}`, version))];
  }
  if (architecture === 'arm64') {
    const variants = arm64Variants(variant);
    if (variants.length === 0) return [wanted];
    const same = variants.map((name) => normalizePlatform(make(system, 'arm64', name, version)));
    return [...same, ...platformPreference(make(system, 'arm', 'v8', version))];
  }
  return [wanted];
}

/**
 * How well `candidate` suits `wanted`: 0 is best, undefined does not run. Sort manifests by it and take the first. A
 * version of the system is compared only where `wanted` asks for one.
 */
export function matchPlatform(wanted: PlatformWords, candidate: PlatformWords): number | undefined {
  const offered = normalizePlatform(candidate);
  const place = platformPreference(wanted).findIndex(
    (one) =>
      one.os === offered.os &&
      one.architecture === offered.architecture &&
      (one.variant ?? '') === (offered.variant ?? '') &&
      (one['os.version'] === undefined || one['os.version'] === offered['os.version']),
  );
  return place < 0 ? undefined : place;
}
