import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Box, never } from '#core/suites/runtime-box.ts';
import { findProcess, leftovers, makeHouse, type House } from './test-house.ts';

const sh = (script: string): string[] => ['sh', '-c', script];
/** Counts, pausing a little now and then. */
const counter = (to: number): string =>
  `i=0; while [ $i -lt ${to} ]; do echo $i; i=$((i+1)); [ $((i % 50)) = 0 ] && usleep 5000; done`;
const numbers = (to: number): string => Array.from({ length: to }, (_, i) => `${i}\n`).join('');

function kill(house: House, verb: 'keeper' | 'serve'): void {
  const pid = house.pidOf(verb);
  assert.notEqual(pid, undefined, `no ${verb} runs`);
  process.kill(pid!, 'SIGKILL');
}

/** Kills the shim and waits until its successor answers. */
async function replaceShim(house: House): Promise<void> {
  const before = house.pidOf('serve');
  kill(house, 'serve');
  while ([undefined, before].includes(house.pidOf('serve'))) await sleep(5);
}

describe('kill -9 of the shim', () => {
  let house: House;
  before(async () => {
    house = await makeHouse();
    await house.runtime.prewarm(never);
  });
  afterEach(() => assert.deepEqual(leftovers(house), []));
  after(() => house[Symbol.asyncDispose]());

  test('loses and doubles no line for log, spool and client, however often it happens', async () => {
    await using box = await Box.run(house, sh(`${counter(8000)}; exit 42`));
    const wait = box.wait();
    for (let kills = 0; kills < 4; kills += 1) {
      await sleep(120 * kills);
      await replaceShim(house);
    }
    assert.equal((await wait).status, 42);
    assert.equal(box.spooled('stdout'), numbers(8000));
    assert.equal(
      box
        .records()
        .map(({ log }) => log)
        .join(''),
      numbers(8000),
    );
    assert.equal(await box.stdout?.all, numbers(8000));
  });

  test('leaves a terminal usable', async () => {
    await using box = await Box.run(house, sh('read a; stty size; echo got $a; exit 8'), {
      terminal: true,
      stdin: true,
    });
    await replaceShim(house);
    await house.runtime.resize(box.ref, { width: 90, height: 30 }, never);
    box.type('word\n');
    assert.equal((await box.wait()).status, 8);
    assert.equal(await box.stdout?.all, 'word\r\n30 90\r\ngot word\r\n');
  });

  test('keeps standard input open, until closeStdin()', async () => {
    await using box = await Box.run(house, ['cat'], { stdin: true });
    box.type('before\n');
    await box.stdout?.sees(/before/);
    await replaceShim(house);
    box.type('after\n');
    await house.runtime.closeStdin(box.ref, never);
    assert.equal((await box.wait()).status, 0);
    assert.equal(await box.stdout?.all, 'before\nafter\n');
  });

  test('keeps last words and exit codes of processes that end while there is none', async () => {
    await using box = await Box.run(house, sh('echo ready; read x; echo last words; exit 17'), { stdin: true });
    const exec = await box.exec('more', sh('echo ready; read x; echo more last words; exit 18'));
    await Promise.all([box.stdout?.sees(/ready/), exec.stdout?.sees(/ready/)]);
    kill(house, 'serve');
    // Both read from FIFOs whose clients write while nobody serves; the next shim hands it on.
    box.type('\n');
    assert.equal((await house.runtime.wait(exec.ref, never)).status, 18);
    assert.equal((await box.wait()).status, 17);
    assert.equal(box.spooled('stdout'), 'ready\nlast words\n');
    assert.equal(await box.stdout?.all, 'ready\nlast words\n');
    assert.equal(await exec.stdout?.all, 'ready\nmore last words\n');
  });

  test('is survived by a container whose client took its FIFOs away', async () => {
    await using box = await Box.run(house, sh('echo ready; cat; exit 6'), { stdin: true });
    await box.stdout?.sees(/ready/);
    for (const stream of [box.stdio.stdin, box.stdio.stdout, box.stdio.stderr]) rmSync(stream);
    await replaceShim(house);
    assert.equal((await house.runtime.state(box.ref, never)).status, 'running');
    await house.runtime.closeStdin(box.ref, never);
    assert.equal((await box.wait()).status, 6);
  });

  test('leaves a container that was not started startable', async () => {
    await using box = await Box.create(house, sh('echo started; exit 5'));
    await replaceShim(house);
    await house.runtime.start(box.ref, never);
    assert.equal((await box.wait()).status, 5);
    assert.equal(await box.stdout?.all, 'started\n');
  });

  test('in the middle of starts leaves nothing half made', async () => {
    const boxes = Array.from({ length: 6 }, () => Box.run(house, sh('exit 0')));
    await sleep(40);
    kill(house, 'serve');
    for (const result of await Promise.allSettled(boxes)) {
      if (result.status === 'fulfilled') await result.value[Symbol.asyncDispose]();
      else assert.equal((result.reason as { code?: string }).code, 'unavailable', String(result.reason));
    }
    assert.deepEqual(await house.runtime.list(never), []);
  });
});

describe('kill -9 of the keeper', () => {
  let house: House;
  before(async () => {
    house = await makeHouse();
  });
  after(() => house[Symbol.asyncDispose]());

  test('costs no container, no output and no exit code', async () => {
    await using box = await Box.run(house, sh(`${counter(4000)}; exit 11`), { client: false });
    kill(house, 'keeper');
    assert.equal((await box.wait()).status, 11);
    assert.equal(box.spooled('stdout'), numbers(4000));
    assert.equal(
      box
        .records()
        .map(({ log }) => log)
        .join(''),
      numbers(4000),
    );
  });

  test('and of the shim at once is survived as well', async () => {
    await using box = await Box.run(house, sh(`${counter(4000)}; exit 12`), { client: false });
    const [keeper, shim] = [house.pidOf('keeper')!, house.pidOf('serve')!];
    process.kill(keeper, 'SIGKILL');
    process.kill(shim, 'SIGKILL');
    assert.equal((await box.wait()).status, 12);
    assert.equal(box.spooled('stdout'), numbers(4000));
    await box[Symbol.asyncDispose]();
    assert.deepEqual(leftovers(house), []);
  });
});

describe('the daemon', () => {
  test('may go and come while a container runs, and the last one gone, the shim goes too', async () => {
    const house = await makeHouse();
    const box = await Box.run(house, sh(`${counter(3000)}; exit 23`));
    house.runtime.close();
    await assert.rejects(house.runtime.state(box.ref, never), { code: 'unavailable' });
    const next = house.restart();
    assert.equal((await next.wait(box.ref, never)).status, 23);
    assert.equal(await box.stdout?.all, numbers(3000));
    await next.remove(box.ref, never);
    assert.deepEqual(leftovers(house), []);
    await house[Symbol.asyncDispose]();
    assert.equal(
      findProcess((command) => command.includes(house.state)),
      undefined,
    );
  });
});
