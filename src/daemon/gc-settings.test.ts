import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gcScheduleDefaults } from '#services/gc-schedule.ts';
import { gcScheduler, gcSettings } from './gc-settings.ts';

const settings = (table: Record<string, unknown>): ReturnType<typeof gcSettings> =>
  gcSettings({ [gcScheduler]: table });

test("containerd's keys decide when garbage is collected, and its defaults hold where they are missing", () => {
  assert.deepEqual(gcSettings({}), gcScheduleDefaults);
  const all = {
    pause_threshold: 0.9,
    deletion_threshold: 3,
    mutation_threshold: 0,
    schedule_delay: '1s',
    startup_delay: '0s',
  };
  assert.deepEqual(settings(all), {
    pauseThreshold: 0.5,
    deletionThreshold: 3,
    mutationThreshold: 0,
    scheduleDelayMs: 1000,
    startupDelayMs: 0,
  });
});

test('a key that is none and a value that is wrong are refused by name', () => {
  for (const [table, message] of [
    [{ pause: 1 }, /pause: there is no such key/],
    [{ pause_threshold: 'much' }, /pause_threshold: want a number/],
    [{ deletion_threshold: -1 }, /deletion_threshold: want a number/],
    [{ schedule_delay: 5 }, /schedule_delay: want a time span/],
    [{ startup_delay: 'soon' }, /startup_delay: want a time span/],
  ] as const) {
    assert.throws(() => settings(table), { code: 'invalid-argument', message });
  }
});
