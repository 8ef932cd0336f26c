import type { Mount } from '#core/mounts.ts';
import { bytesOf } from '#sys/at.ts';
import type { Trees } from './compare.ts';

/** A tree that lies open on disk, or that only a mount shows. Paths are byte strings (see sys/at.ts). */
export type Side =
  | { readonly kind: 'empty' }
  | { readonly kind: 'directory'; readonly path: string }
  | {
      readonly kind: 'overlay';
      readonly layers: readonly string[];
      readonly upper: boolean;
      readonly userxattr: boolean;
    }
  | { readonly kind: 'mount' };

/** Options that change what a tree shows, or that word its layers in ways that are left to the kernel. */
const beyondUs = /^(?:lowerdir\+|datadir\+|uidmap=|gidmap=|X-)/;

const isBind = ({ type, options }: Mount): boolean =>
  type === 'bind' || options.includes('bind') || options.includes('rbind');

/** Splits at `:` that no backslash protects, as overlayfs does. */
export const splitLayers = (text: string): string[] =>
  text.split(/(?<!\\):/).map((layer) => layer.replaceAll('\\:', ':'));

/** What mounts show, where it can be read without mounting them. */
export function sideOf(mounts: readonly Mount[]): Side {
  const [only, ...more] = mounts;
  if (only === undefined) return { kind: 'empty' };
  const { options } = only;
  if (more.length > 0 || (only.target ?? '') !== '' || options.some((option) => beyondUs.test(option)))
    return { kind: 'mount' };
  if (isBind(only)) return { kind: 'directory', path: bytesOf(only.source) };
  if (only.type !== 'overlay') return { kind: 'mount' };
  const value = (key: string): string | undefined =>
    options.findLast((option) => option.startsWith(`${key}=`))?.slice(key.length + 1);
  const upper = value('upperdir');
  const layers = [...(upper === undefined ? [] : [upper]), ...splitLayers(value('lowerdir') ?? '')];
  if (!layers.every((layer) => layer.startsWith('/'))) return { kind: 'mount' };
  return {
    kind: 'overlay',
    layers: layers.map(bytesOf),
    upper: upper !== undefined,
    userxattr: options.includes('userxattr'),
  };
}

/** How to compare without mounting anything; undefined where that cannot be. */
export function directTrees(left: Side, right: Side): Trees | undefined {
  if (right.kind === 'directory' && left.kind === 'directory')
    return { kind: 'whole', left: left.path, right: right.path };
  if (right.kind === 'directory' && left.kind === 'empty') return { kind: 'whole', left: undefined, right: right.path };
  if (right.kind !== 'overlay') return undefined;
  const [upper, ...lowers] = right.layers;
  const below = left.kind === 'overlay' ? left.layers : left.kind === 'directory' ? [left.path] : [];
  if (upper === undefined || lowers.length === 0 || lowers.length !== below.length) return undefined;
  if (!lowers.every((layer, n) => layer === below[n])) return undefined;
  return { kind: 'upper', lowers, upper, userxattr: right.userxattr };
}

/**
 * The same mounts for reading only: an upper directory becomes the nearest of the lower ones, since two overlays must
 * not share it, and what is in it may be mounted already.
 */
export function readonlyMounts(mounts: readonly Mount[]): readonly Mount[] {
  const last = mounts.length - 1;
  return mounts.map((mount, n) => (n < last ? mount : readonlyMount(mount)));
}

function readonlyMount(mount: Mount): Mount {
  const options = mount.options.filter((option) => option !== 'rw');
  const withRo = options.includes('ro') ? options : ['ro', ...options];
  if (mount.type !== 'overlay') return { ...mount, options: withRo };
  const upper = options.find((option) => option.startsWith('upperdir='))?.slice('upperdir='.length);
  if (upper === undefined) return { ...mount, options: withRo };
  return {
    ...mount,
    options: withRo
      .filter((option) => !/^(?:upperdir|workdir|index)=/.test(option) && option !== 'volatile')
      .map((option) =>
        option.startsWith('lowerdir=')
          ? `lowerdir=${upper.replaceAll(':', '\\:')}:${option.slice('lowerdir='.length)}`
          : option,
      ),
  };
}
