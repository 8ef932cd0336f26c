// Many at once, and nothing left of them.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { mountsBelow } from '../scripts/lib/traces.mjs';
import { openHarbour, openRegistry, type Harbour } from './support/daemon.ts';
import { eventually, output } from './support/expect.ts';
import type { Outcome } from './support/guests.ts';
import { noContainers } from './support/machine.ts';

describe('fifty runs in batches of ten', { skip: noContainers('ctr') }, () => {
  let harbour: Harbour;
  let image: string;
  const undo = new AsyncDisposableStack();

  after(() => undo.disposeAsync());
  before(async () => {
    const registry = await openRegistry(undo);
    harbour = await openHarbour(undo);
    image = registry.busybox;
    output(await harbour.guests.ctr(['images', 'pull', '--plain-http', image]));
  });

  async function batches(one: (n: number) => Promise<Outcome>): Promise<void> {
    for (let batch = 0; batch < 5; batch++) {
      const outcomes = await Promise.all(Array.from({ length: 10 }, (_, i) => one(batch * 10 + i)));
      outcomes.forEach((outcome, i) => assert.equal(output(outcome, 3), `run ${batch * 10 + i}`));
    }
  }

  /** Everything that a run might leave, as names. */
  function remains(): string[] {
    const { root, state } = harbour.daemon;
    const list = (dir: string): string[] =>
      existsSync(dir) ? readdirSync(dir, { recursive: true, encoding: 'utf8' }).map((name) => join(dir, name)) : [];
    const below = (dir: string, depth: number): string[] =>
      list(dir).filter((path) => path.slice(dir.length + 1).split('/').length === depth);
    return [
      ...mountsBelow(harbour.daemon.dir),
      ...below(join(state, 'tasks'), 2),
      ...below(join(state, 'io'), 2),
      ...below(join(state, 'netns'), 2),
      ...below(join(root, 'containers'), 2),
    ];
  }

  const script = (n: number): string[] => ['sh', '-c', `echo run ${n}; exit 3`];
  const kept = (): string[] => readdirSync(join(harbour.daemon.root, 'snapshots/overlayfs'));

  test('ctr run --rm', async () => {
    const before = kept();
    await batches((n) => harbour.guests.ctr(['run', '--rm', image, `c${n}`, ...script(n)]));
    assert.equal(output(await harbour.guests.ctr(['containers', 'ls', '-q'])), '');
    await eventually(() => assert.deepEqual(remains(), []));
    await eventually(() => assert.deepEqual(kept(), before));
  });

  test('hako run --rm', async () => {
    const before = kept();
    await batches((n) => harbour.guests.hako(['run', '--rm', '--network', 'none', image, ...script(n)]));
    await eventually(async () => assert.equal(output(await harbour.guests.hako(['ps', '-a', '-q'])), ''));
    await eventually(() => assert.deepEqual(remains(), []));
    await eventually(() => assert.deepEqual(kept(), before));
  });
});
