const nameOf = (entry: string): string => entry.split('=', 1)[0]!;

/** Sets `changes` in `base`: a value takes its variable's place or comes last, a bare name takes the variable away. */
export function mergeEnvironment(base: readonly string[], changes: readonly string[]): string[] {
  const merged: (string | undefined)[] = [...base];
  const places = new Map(base.map((entry, at) => [nameOf(entry), at]));
  for (const entry of changes) {
    const place = places.get(nameOf(entry));
    if (!entry.includes('=')) {
      if (place !== undefined) merged[place] = undefined;
    } else if (place === undefined) {
      merged.push(entry);
    } else {
      merged[place] = entry;
    }
  }
  return merged.filter((entry): entry is string => entry !== undefined && entry !== '');
}
