import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { silent } from '#base/log.ts';
import { GcSchedule, gcScheduleDefaults, type GcScheduleOptions } from './gc-schedule.ts';

/** A schedule whose collections are counted, on a clock that the test moves. */
function started(options: Partial<GcScheduleOptions> = {}): {
  schedule: GcSchedule;
  rounds: () => number;
  pass: (ms: number) => Promise<void>;
  take: (ms: number) => void;
} {
  let now = 0;
  mock.method(performance, 'now', () => now);
  let rounds = 0;
  let tookMs = 1;
  const collect = async (): Promise<{ tookMs: number; again: boolean }> => {
    rounds += 1;
    return { tookMs, again: false };
  };
  const schedule = new GcSchedule({ ...gcScheduleDefaults, ...options }, collect, silent);
  schedule.start();
  const pass = async (ms: number): Promise<void> => {
    for (let step = 0; step < ms; step += 5) {
      now += 5;
      mock.timers.tick(5);
      for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
    }
  };
  return { schedule, rounds: () => rounds, pass, take: (ms) => (tookMs = ms) };
}

test.beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
test.afterEach(() => mock.reset());

test('the first collection is a moment after the start, the next one in the round after a deletion', async () => {
  const { schedule, rounds, pass } = started();
  await pass(90);
  assert.equal(rounds(), 0);
  await pass(20);
  assert.equal(rounds(), 1);
  // Nothing was deleted: ninety-nine changes are none.
  for (let change = 0; change < 99; change += 1) schedule.mutated(false);
  await pass(2000);
  assert.equal(rounds(), 1);
  schedule.mutated(true);
  await pass(250);
  assert.equal(rounds(), 2);
  await pass(2000);
  assert.equal(rounds(), 2);
});

test('the hundredth change collects in the next round', async () => {
  const { schedule, rounds, pass } = started();
  await pass(110);
  for (let change = 0; change < 100; change += 1) schedule.mutated(false);
  assert.equal(rounds(), 1);
  await pass(250);
  assert.equal(rounds(), 2);
});

test('rounds are so far apart that collections take one part in fifty of the time', async () => {
  const { schedule, rounds, pass, take } = started();
  take(20);
  await pass(110);
  schedule.mutated(true);
  await pass(900);
  assert.equal(rounds(), 1);
  await pass(100);
  assert.equal(rounds(), 2);
});

test('whoever asks is served at once, and a threshold of deletions is as good as asking', async () => {
  const { schedule, rounds, pass } = started({ deletionThreshold: 3 });
  await pass(110);
  let served = false;
  void schedule.trigger().then(() => (served = true));
  await pass(5);
  assert.equal(served, true);
  assert.equal(rounds(), 2);
  schedule.mutated(true);
  // After a deletion each change counts as one, as in containerd.
  schedule.mutated(false);
  await pass(5);
  assert.equal(rounds(), 2);
  schedule.mutated(false);
  await pass(5);
  assert.equal(rounds(), 3);
});

test('a delay holds back whoever asks, and without a first round the first deletion makes one', async () => {
  const { schedule, rounds, pass } = started({ scheduleDelayMs: 50, startupDelayMs: 0 });
  await pass(500);
  assert.equal(rounds(), 0);
  schedule.mutated(true);
  await pass(40);
  assert.equal(rounds(), 0);
  await pass(20);
  assert.equal(rounds(), 1);
});
