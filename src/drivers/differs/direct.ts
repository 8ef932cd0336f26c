import { HakoError, invalid } from '#base/errors.ts';
import type { Mount } from '#core/mounts.ts';
import { bytesOf } from '#sys/at.ts';
import type { Target } from './directories.ts';
import { splitLayers } from './sides.ts';

/**
 * Where mounts lead, when that can be written to without mounting them: the upper directory of an overlay, the source of
 * a bind mount. Undefined for anything else. failed-precondition when they cannot be written to at all.
 */
export function directTarget(mounts: readonly Mount[]): Target | undefined {
  const [only, ...more] = mounts;
  if (only === undefined) throw invalid('no mounts are given to unpack a layer into');
  if (more.length > 0 || (only.target ?? '') !== '') return undefined;
  const value = (key: string): string | undefined =>
    only.options.findLast((option) => option.startsWith(`${key}=`))?.slice(key.length + 1);
  const readonly = only.options.includes('ro');
  if (only.type === 'overlay') {
    const upper = value('upperdir');
    if (upper === undefined || readonly)
      throw new HakoError(
        'failed-precondition',
        'cannot unpack a layer into a read-only overlay mount: it has no upper directory',
      );
    const lowers = value('lowerdir');
    // Other ways to word them are left to the kernel.
    if (!upper.startsWith('/') || only.options.some((option) => /^(?:lowerdir\+|datadir\+)/.test(option)))
      return undefined;
    // What containerd's client makes of a bind mount, to unpack layers side by side and stack them when they are committed.
    if (lowers === undefined)
      return {
        kind: 'overlay',
        upper: bytesOf(upper),
        lowers: [],
        blind: true,
        userxattr: only.options.includes('userxattr'),
      };
    const layers = splitLayers(lowers);
    if (!layers.every((layer) => layer.startsWith('/'))) return undefined;
    return {
      kind: 'overlay',
      upper: bytesOf(upper),
      lowers: layers.map(bytesOf),
      userxattr: only.options.includes('userxattr'),
    };
  }
  if (only.type === 'bind' || only.options.includes('bind') || only.options.includes('rbind')) {
    if (readonly)
      throw new HakoError(
        'failed-precondition',
        `cannot unpack a layer into "${only.source}": it is mounted read-only`,
      );
    return { kind: 'plain', root: bytesOf(only.source) };
  }
  return undefined;
}
