import { invalid } from '#base/errors.ts';
import type { Labels } from '#core/any.ts';

/** What filters and field masks have in common over all nouns. */

/** An empty field counts as absent where containerd has it so. */
export const present = (value: string): string | undefined => (value === '' ? undefined : value);

/**
 * Labels after an update: `labels` replaces all, `labels.KEY` sets one (an empty value removes it), an empty mask
 * replaces all. Other paths go to `other`.
 */
export function maskedLabels(
  before: Labels,
  given: Labels,
  paths: readonly string[],
  other: (path: string) => void,
): Labels {
  if (paths.length === 0) return given;
  // A map, since keys may have names that mean something to objects.
  let labels = new Map(Object.entries(before));
  for (const path of paths) {
    if (path === 'labels') labels = new Map(Object.entries(given));
    else if (path.startsWith('labels.')) labels.set(path.slice(7), ownValue(given, path.slice(7)) ?? '');
    else other(path);
  }
  return Object.fromEntries(labels);
}

/** What is under that key, and not what every object has: keys come from outside. */
export const ownValue = <T>(record: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined;

/** containerd's answer to a field mask that names what cannot be changed. */
export function refusePath(path: string, what: string): never {
  throw invalid(`cannot update ${JSON.stringify(path)} field on ${what}: invalid argument`);
}

/** Labels as they are kept: one with an empty value is not there. */
export const keptLabels = (labels: Labels): Labels =>
  Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== ''));
