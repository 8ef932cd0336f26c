/** Filters of Docker's lists: a key with several values matches when one of them does. */
export type Filters = ReadonlyMap<string, readonly string[]>;

/** True when the filter is not there, or one of its values passes. */
export function keyedFilter(filters: Filters, key: string, passes: (value: string) => boolean): boolean {
  const values = filters.get(key);
  return values === undefined || values.length === 0 || values.some(passes);
}

/** Labels are the exception: `key` or `key=value`, and all of them have to be there. */
export function matchesLabels(filters: Filters, labels: Readonly<Record<string, string>>): boolean {
  const has = (wanted: string): boolean => {
    const at = wanted.indexOf('=');
    if (at < 0) return Object.hasOwn(labels, wanted);
    return labels[wanted.slice(0, at)] === wanted.slice(at + 1);
  };
  return (filters.get('label') ?? []).every(has) && !(filters.get('label!') ?? []).some(has);
}
