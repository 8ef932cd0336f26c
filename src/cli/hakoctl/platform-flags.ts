import { hostPlatform, parsePlatform, type PlatformWords } from '#base/platforms.ts';
import { UsageFailure } from '../failure.ts';

/** The platforms that `--platform` and `--all-platforms` choose; none stands for all. */
export function platformsOf(asked: readonly string[], all: boolean): PlatformWords[] {
  if (asked.length > 0 && all) throw new UsageFailure('cannot specify both --platform and --all-platforms', 1);
  if (all) return [];
  return asked.length === 0 ? [hostPlatform()] : asked.map(parsePlatform);
}
