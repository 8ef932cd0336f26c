import { parseDuration } from '#base/duration.ts';
import { invalid } from '#base/errors.ts';
import { gcScheduleDefaults, type GcScheduleOptions } from '#services/gc-schedule.ts';
import type { PluginStatus } from '#services/introspection.ts';
import type { Config } from './config/schema.ts';

/** containerd's name for what decides when garbage is collected; here it is no plugin, but its table counts. */
export const gcScheduler = 'io.containerd.gc.v1.scheduler';

const keys = ['pause_threshold', 'deletion_threshold', 'mutation_threshold', 'schedule_delay', 'startup_delay'];
const whereIs = (key: string): string => `[plugins.${JSON.stringify(gcScheduler)}] ${key}`;

/** Checks `[plugins."io.containerd.gc.v1.scheduler"]`. */
export function gcSettings(plugins: Config['plugins']): GcScheduleOptions {
  const raw = (plugins[gcScheduler] ?? {}) as Readonly<Record<string, unknown>>;
  for (const key of Object.keys(raw)) {
    if (!keys.includes(key)) throw invalid(`${whereIs(key)}: there is no such key: use ${keys.join(', ')}`);
  }
  const number = (key: string, byDefault: number, most: number): number => {
    const value = raw[key] ?? byDefault;
    if (typeof value === 'number' && value >= 0 && value <= most) return value;
    throw invalid(`${whereIs(key)}: want a number from 0 to ${most}, not ${JSON.stringify(value)}`);
  };
  const count = (key: string, byDefault: number): number => Math.trunc(number(key, byDefault, 2_147_483_647));
  const span = (key: string, byDefault: number): number => {
    const value = raw[key];
    if (value === undefined) return byDefault;
    const milliseconds = typeof value === 'string' ? parseDuration(value) : undefined;
    if (milliseconds !== undefined && milliseconds >= 0 && milliseconds < 2 ** 31) return milliseconds;
    throw invalid(`${whereIs(key)}: want a time span such as "100ms", not ${JSON.stringify(value)}`);
  };
  const { pauseThreshold, deletionThreshold, mutationThreshold, scheduleDelayMs, startupDelayMs } = gcScheduleDefaults;
  return {
    // More than a half is taken as a half, as containerd has it.
    pauseThreshold: Math.min(number('pause_threshold', pauseThreshold, 1), 0.5),
    deletionThreshold: count('deletion_threshold', deletionThreshold),
    mutationThreshold: count('mutation_threshold', mutationThreshold),
    scheduleDelayMs: span('schedule_delay', scheduleDelayMs),
    startupDelayMs: span('startup_delay', startupDelayMs),
  };
}

/** As `ctr plugins ls` shows it. */
export const gcStatus = (settings: GcScheduleOptions): PluginStatus => ({
  type: 'io.containerd.gc.v1',
  id: 'scheduler',
  requires: ['io.containerd.metadata.v1'],
  platforms: [],
  exports: {
    PauseThreshold: String(settings.pauseThreshold),
    DeletionThreshold: String(settings.deletionThreshold),
    MutationThreshold: String(settings.mutationThreshold),
    ScheduleDelay: `${settings.scheduleDelayMs / 1000}s`,
  },
  capabilities: [],
});
