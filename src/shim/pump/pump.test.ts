import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { makeFifo, O_NONBLOCK, O_RDONLY, openFd } from '#sys/fd.ts';
import { Pump } from './pump.ts';

async function startPump(t: TestContext): Promise<{ pump: Pump; directory: string }> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'hako-pump-'));
  const pump = new Pump({ log: () => {} }, (error) => assert.ifError(error));
  t.after(async () => {
    await pump.stop();
    rmSync(directory, { recursive: true });
  });
  await pump.ready;
  return { pump, directory };
}

/** A process that the pump reads; gives the end that it writes to. */
function addProcess(pump: Pump, directory: string, key: string, log?: string): number {
  const at = (name: string): string => path.join(directory, `${key}-${name}`);
  makeFifo(at('fifo'));
  writeFileSync(at('stdout'), '');
  const source = openFd(at('fifo'), O_RDONLY | O_NONBLOCK);
  const end = openSync(at('fifo'), 'w');
  const outputs = [{ stream: 'stdout' as const, source, spool: at('stdout') }];
  pump.add({ key, offsets: at('offsets'), outputs, ...(log === undefined ? {} : { log }) });
  return end;
}

test('a process that writes without end does not hold up the output of others', { timeout: 60_000 }, async (t) => {
  const { pump, directory } = await startPump(t);
  // Lines take longer to log than to write; the log need not fill a disk for that.
  const flooded = addProcess(pump, directory, 'flood', '/dev/null');
  const flood = spawn('yes', { stdio: ['ignore', flooded, 'ignore'] });
  closeSync(flooded);
  t.after(() => flood.kill('SIGKILL'));
  await once(flood, 'spawn');
  const end = addProcess(pump, directory, 'quiet');
  writeSync(end, 'heard\n');
  closeSync(end);
  await pump.drain('quiet', 50_000);
  assert.equal(readFileSync(path.join(directory, 'quiet-stdout'), 'utf8'), 'heard\n');
});
