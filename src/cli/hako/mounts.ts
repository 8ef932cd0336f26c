import { resolve } from 'node:path';
import { UsageFailure } from '../failure.ts';
import { bytes } from './values.ts';

/** `-v`: paths on this machine that begin with a dot are made absolute; a target alone is an anonymous volume. */
export function volumes(texts: readonly string[]): { binds: string[]; anonymous: Record<string, object> } {
  const binds: string[] = [];
  const anonymous: Record<string, object> = {};
  for (const text of texts) {
    const parts = text.split(':');
    if (text === '' || parts.some((part) => part === ''))
      throw new UsageFailure(`invalid volume "${text}": empty section between colons`);
    if (parts.length > 3) throw new UsageFailure(`invalid volume "${text}": must be [SOURCE:]TARGET[:OPTIONS]`);
    const [source = '', ...rest] = parts;
    if (rest.length === 0) anonymous[source] = {};
    else
      binds.push(
        [source.startsWith('.') || source.startsWith('~/') ? resolve(home(source)) : source, ...rest].join(':'),
      );
  }
  return { binds, anonymous };
}

const home = (path: string): string => (path.startsWith('~/') ? `${process.env['HOME'] ?? ''}${path.slice(1)}` : path);

interface Mount {
  Type: string;
  Source?: string;
  Target?: string;
  ReadOnly?: boolean;
  Consistency?: string;
  BindOptions?: Record<string, unknown>;
  VolumeOptions?: {
    NoCopy?: boolean;
    Labels?: Record<string, string>;
    Subpath?: string;
    DriverConfig?: { Name?: string; Options?: Record<string, string> };
  };
  TmpfsOptions?: Record<string, unknown>;
  ImageOptions?: Record<string, unknown>;
}

/** `--mount type=bind,source=/a,target=/b,readonly`: comma separated fields, quoted as CSV where a value holds a comma. */
export function mounts(texts: readonly string[]): Mount[] {
  return texts.map((text) => {
    const mount: Mount = { Type: 'volume' };
    for (const field of splitCsv(text)) {
      const at = field.indexOf('=');
      const key = (at < 0 ? field : field.slice(0, at)).trim().toLowerCase();
      const value = at < 0 ? undefined : field.slice(at + 1);
      if (!take(mount, key, value))
        throw new UsageFailure(`invalid mount "${text}": unexpected key "${key}" in "${field}"`);
    }
    if (mount.Target === undefined) throw new UsageFailure(`invalid mount "${text}": target is required`);
    if (mount.Type === 'bind' && mount.Source?.startsWith('.') === true) mount.Source = resolve(mount.Source);
    return mount;
  });
}

function take(mount: Mount, key: string, value: string | undefined): boolean {
  if (value === undefined && !['readonly', 'ro', 'volume-nocopy', 'bind-nonrecursive'].includes(key)) {
    throw new UsageFailure(`invalid mount: the key "${key}" needs a value`);
  }
  const text = value ?? 'true';
  switch (key) {
    case 'type':
      return Boolean((mount.Type = text.toLowerCase()));
    case 'source':
    case 'src':
      return ((mount.Source = text), true);
    case 'target':
    case 'dst':
    case 'destination':
      return ((mount.Target = text), true);
    case 'readonly':
    case 'ro':
      return ((mount.ReadOnly = truth(key, text)), true);
    case 'consistency':
      return ((mount.Consistency = text), true);
    default:
      return takeOption(mount, key, text);
  }
}

function takeOption(mount: Mount, key: string, text: string): boolean {
  const bind = (name: string, value: unknown): boolean => (((mount.BindOptions ??= {})[name] = value), true);
  const volume = (mount.VolumeOptions ??= {});
  const done = takeVolume(volume, key, text);
  if (Object.keys(volume).length === 0) delete mount.VolumeOptions;
  if (done) return true;
  switch (key) {
    case 'bind-propagation':
      return bind('Propagation', text);
    case 'bind-nonrecursive':
      return bind('NonRecursive', truth(key, text));
    case 'bind-recursive':
      return bindRecursive(bind, text);
    case 'tmpfs-size':
      return (((mount.TmpfsOptions ??= {})['SizeBytes'] = bytes(key, text)), true);
    case 'tmpfs-mode':
      return (((mount.TmpfsOptions ??= {})['Mode'] = Number.parseInt(text, 8)), true);
    case 'image-subpath':
      return (((mount.ImageOptions ??= {})['Subpath'] = text), true);
    default:
      return false;
  }
}

function takeVolume(volume: NonNullable<Mount['VolumeOptions']>, key: string, text: string): boolean {
  const pair = (): [string, string] => [text.split('=', 1)[0] ?? '', text.slice(text.indexOf('=') + 1)];
  switch (key) {
    case 'volume-nocopy':
      return ((volume.NoCopy = truth(key, text)), true);
    case 'volume-subpath':
      return ((volume.Subpath = text), true);
    case 'volume-label':
      return ((volume.Labels = { ...volume.Labels, ...Object.fromEntries([pair()]) }), true);
    case 'volume-driver':
      return ((volume.DriverConfig = { ...volume.DriverConfig, Name: text }), true);
    case 'volume-opt':
      volume.DriverConfig = {
        ...volume.DriverConfig,
        Options: { ...volume.DriverConfig?.Options, ...Object.fromEntries([pair()]) },
      };
      return true;
    default:
      return false;
  }
}

function bindRecursive(bind: (name: string, value: unknown) => boolean, text: string): boolean {
  switch (text) {
    case 'enabled':
      return true;
    case 'disabled':
      return bind('NonRecursive', true);
    case 'writable':
      return bind('ReadOnlyNonRecursive', true);
    case 'readonly':
      return bind('ReadOnlyForceRecursive', true);
    default:
      throw new UsageFailure(
        `invalid mount: bind-recursive is "${text}": must be enabled, disabled, writable or readonly`,
      );
  }
}

function truth(key: string, text: string): boolean {
  if (['true', '1'].includes(text.toLowerCase())) return true;
  if (['false', '0'].includes(text.toLowerCase())) return false;
  throw new UsageFailure(`invalid mount: "${key}" is "${text}": must be true or false`);
}

/** One line of CSV: a field in double quotes may hold commas, and a double quote twice is one. */
export function splitCsv(text: string): string[] {
  const fields: string[] = [];
  let field = '';
  let quoted = false;
  for (let index = 0; index < text.length; index += 1) {
    const letter = text[index] ?? '';
    if (letter === '"' && quoted && text[index + 1] === '"') field += text[(index += 1)] ?? '';
    else if (letter === '"') quoted = !quoted;
    else if (letter === ',' && !quoted) {
      fields.push(field);
      field = '';
    } else field += letter;
  }
  if (quoted) throw new UsageFailure(`"${text}": a quote is not closed`);
  return [...fields, field];
}
