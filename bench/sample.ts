/** Times of one side in milliseconds, in the order they were taken. */
export interface Sample {
  readonly side: string;
  readonly times: readonly number[];
}

export interface Summary {
  readonly side: string;
  readonly rounds: number;
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
}

/** The value below which a share `q` of the times lies, between neighbours in proportion. */
export function quantile(times: readonly number[], q: number): number {
  if (times.length === 0) throw new RangeError('a quantile of no times');
  const sorted = times.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const [low, high] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!];
  return low + (high - low) * (at - Math.floor(at));
}

export const summarize = ({ side, times }: Sample): Summary => ({
  side,
  rounds: times.length,
  median: quantile(times, 0.5),
  p10: quantile(times, 0.1),
  p90: quantile(times, 0.9),
});
