import assert from 'node:assert/strict';
import { test } from 'node:test';
import { call, leased, openBridge, upload } from '../../test/support/bridge.ts';
import type { Collectible, Collector } from './gc-collectors.ts';
import { parseTime } from './gc-rules.ts';

test("a time is what Go's parser of RFC 3339 takes", () => {
  const noon = Date.UTC(2026, 1, 28, 12, 0, 0);
  for (const text of [
    '2026-02-28T12:00:00Z',
    '2026-02-28T13:30:00+01:30',
    '2026-02-28T12:00:00.000Z',
    '2026-02-28T12:00:00,0Z',
    '2026-02-28T7:00:00-05:00',
  ]) {
    assert.equal(parseTime(text), noon, text);
  }
  assert.equal(parseTime('2026-02-28T12:00:00.5Z'), noon + 500);
  for (const text of [
    '',
    'tomorrow',
    '2026-02-28',
    '2026-02-28 12:00:00Z',
    '2026-02-28t12:00:00z',
    '2026-02-29T12:00:00Z',
    '2026-13-01T12:00:00Z',
    '2026-02-00T12:00:00Z',
    '2026-02-28T24:00:00Z',
    '2026-02-28T12:00:60Z',
    '2026-02-28T12:00:00',
    '2026-02-28T12:00:00+25:00',
    '26-02-28T12:00:00Z',
  ]) {
    assert.equal(parseTime(text), undefined, text);
  }
});

test('things in memory go with their lease, unless they are in use, named by a label, or hang on what is held', async () => {
  await using bridge = await openBridge();
  const all = new Map<string, Collectible>();
  const add = (name: string, more: Partial<Collectible>): unknown =>
    all.set(name, { namespace: 'default', name, active: false, ...more });
  const collector: Collector = {
    kind: 'stream',
    all: () => all.values(),
    remove: async (_namespace, name) => void all.delete(name),
  };
  bridge.gc.register(collector);
  await bridge.leases.create(call, 'work', {});
  await bridge.leases.create(call, 'keeper', { 'containerd.io/gc.flat': 'yes' });
  const held = await upload(bridge, leased('keeper'), 'held');
  const root = await upload(bridge, call, 'root', {
    'containerd.io/gc.root': 'yes',
    'containerd.io/gc.ref.stream.x': 'named',
  });
  add('in use', { active: true });
  add('leased', { lease: 'work' });
  add('under a flat lease', { lease: 'keeper' });
  add('named', {});
  add('on a blob', { labels: { 'containerd.io/gc.bref.content': root } });
  add('on a blob that a flat lease holds', { labels: { 'containerd.io/gc.bref.content': held } });
  add('loose', {});
  await bridge.gc.run(call.signal);
  assert.deepEqual([...all.keys()], ['in use', 'leased', 'under a flat lease', 'named', 'on a blob']);
  await bridge.leases.delete(call, 'work', { sync: true });
  assert.deepEqual([...all.keys()], ['in use', 'under a flat lease', 'named', 'on a blob']);
});
