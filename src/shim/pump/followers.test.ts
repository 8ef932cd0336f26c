import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeFifo, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, openFd } from '#sys/fd.ts';
import { check, libc } from '#sys/libc.ts';
import { releaseRange, tryShareRange } from '#sys/range-lock.ts';
import type { ProcessPlan } from './messages.ts';
import { Pump } from './pump.ts';

const MiB = 1024 * 1024;
/** What the spool may hold for a follower, and some for what is under way. */
const bound = 64 * MiB;
const spare = 4 * MiB;

interface Box {
  readonly pump: Pump;
  readonly spool: string;
  /** The spool's size as it has grown, and what of it is on the disk. */
  sizes(): { readonly grown: number; readonly kept: number };
  /** Begins to move what the command writes to its standard output. */
  run(command: string, ...rest: string[]): ChildProcess;
}

async function startBox(t: TestContext, terminal = false): Promise<Box> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'hako-pump-'));
  const at = (name: string): string => path.join(directory, name);
  const pump = new Pump({ log: () => {} }, (error) => assert.ifError(error));
  const children: ChildProcess[] = [];
  t.after(async () => {
    for (const child of children) child.kill('SIGKILL');
    await pump.stop();
    rmSync(directory, { recursive: true });
  });
  await pump.ready;
  writeFileSync(at('stdout'), '');
  makeFifo(at('fifo'));
  return {
    pump,
    spool: at('stdout'),
    sizes: () => {
      const { size, blocks } = statSync(at('stdout'));
      return { grown: size, kept: blocks * 512 };
    },
    run: (command, ...rest) => {
      const source = openFd(at('fifo'), O_RDONLY | O_NONBLOCK);
      const pty = terminal ? openTerminal() : undefined;
      const end = pty === undefined ? openSync(at('fifo'), 'w') : openSync(pty.slave, 'r+');
      const child = spawn(command, rest, { stdio: ['ignore', end, 'ignore'] });
      children.push(child);
      closeSync(end);
      const plan: ProcessPlan = {
        key: 'box',
        offsets: at('offsets'),
        outputs: [{ stream: 'stdout', source, spool: at('stdout') }],
      };
      if (pty === undefined) pump.add(plan);
      else {
        const fifo = openFd(at('fifo'), O_WRONLY | O_NONBLOCK);
        pump.add({ ...plan, terminal: { master: pty.master, fifo } });
      }
      return child;
    },
  };
}

/** A terminal as a runtime makes it (pty(7)): the master's descriptor and the slave's path. */
function openTerminal(): { master: number; slave: string } {
  const ioctl = libc('int ioctl(int fd, unsigned long request, void *argument)');
  const TIOCSPTLCK = 0x40045431;
  const TIOCGPTN = 0x80045430;
  const master = openFd('/dev/ptmx', O_RDWR | O_NONBLOCK);
  const number = new Int32Array(1);
  check(ioctl(master, TIOCSPTLCK, number), 'ioctl', 'TIOCSPTLCK');
  check(ioctl(master, TIOCGPTN, number), 'ioctl', 'TIOCGPTN');
  return { master, slave: `/dev/pts/${number[0]}` };
}

/** Waits until the spool is full, and gives its size after some more time. */
async function sizeWhenFull(box: Box): Promise<number> {
  while (box.sizes().grown <= bound) await sleep(5);
  await sleep(300);
  return box.sizes().grown;
}

test('a follower that lags finds every byte', { timeout: 60_000 }, async (t) => {
  const box = await startBox(t);
  const follower = openSync(box.spool, 'r');
  assert(tryShareRange(follower, 0, Infinity));
  box.run('seq', '3000000');
  await box.pump.drain('box', 50_000);
  const expected = Array.from({ length: 3_000_000 }, (_, i) => `${i + 1}\n`).join('');
  assert(readFileSync(box.spool, 'latin1') === expected);
  closeSync(follower);
});

test('what followers have read is given back', { timeout: 60_000 }, async (t) => {
  const box = await startBox(t);
  const followers = [0, 1].map(() => openSync(box.spool, 'r'));
  for (const follower of followers) assert(tryShareRange(follower, 0, Infinity));
  box.run('sh', '-c', 'seq 1000000; while [ ! -e "$0" ]; do sleep 0.01; done; seq 2000000', `${box.spool}-go`);
  while (box.sizes().grown < 6 * MiB) await sleep(5);
  assert(box.sizes().kept >= 6 * MiB);
  releaseRange(followers[0]!, 0, 6 * MiB);
  releaseRange(followers[1]!, 0, 5 * MiB + 1);
  writeFileSync(`${box.spool}-go`, '');
  await box.pump.drain('box', 50_000);
  const bytes = readFileSync(box.spool);
  assert.deepEqual([bytes[4 * MiB], bytes.subarray(5 * MiB + 1).includes(0)], [0, false]);
  for (const follower of followers) closeSync(follower);
});

for (const terminal of [false, true]) {
  const where = terminal ? ' on a terminal' : '';
  test(`a follower that stops reading stops who writes${where}, until it reads on`, { timeout: 60_000 }, async (t) => {
    const box = await startBox(t, terminal);
    const follower = openSync(box.spool, 'r');
    assert(tryShareRange(follower, 0, Infinity));
    const child = box.run('yes', '0123456789'.repeat(100));
    const full = await sizeWhenFull(box);
    assert(full <= bound + spare, `${full} bytes`);
    releaseRange(follower, 0, 8 * MiB);
    while (box.sizes().grown <= full + 7 * MiB) await sleep(5);
    await sleep(100);
    assert(box.sizes().grown <= bound + 8 * MiB + spare);
    // What it wrote before it was ended is still taken.
    child.kill('SIGKILL');
    await once(child, 'exit');
    await box.pump.drain('box', 100);
    assert(
      !readFileSync(box.spool)
        .subarray(8 * MiB)
        .includes(0),
    );
    closeSync(follower);
  });
}

test('a follower that is killed frees what it held', { timeout: 60_000 }, async (t) => {
  const box = await startBox(t);
  const lock = import.meta.resolve('#sys/range-lock.ts');
  const script = `
    const { openSync } = await import('node:fs');
    const { tryShareRange } = await import(${JSON.stringify(lock)});
    console.log(tryShareRange(openSync(process.argv[1], 'r'), 0, Infinity));
    setInterval(() => {}, 1000);`;
  const follower = spawn(process.execPath, ['--input-type=module', '-e', script, box.spool], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => follower.kill('SIGKILL'));
  assert.equal(String((await once(follower.stdout, 'data'))[0]), 'true\n');
  box.run('yes', '0123456789'.repeat(100));
  const full = await sizeWhenFull(box);
  assert(full <= bound + spare, `${full} bytes`);
  follower.kill('SIGKILL');
  while (box.sizes().grown < 2 * bound) await sleep(5);
  assert(box.sizes().kept < bound / 2, `${box.sizes().kept} bytes`);
});
