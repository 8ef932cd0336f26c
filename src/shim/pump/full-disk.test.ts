import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeFifo, O_NONBLOCK, O_RDONLY, openFd } from '#sys/fd.ts';
import { Pump } from './pump.ts';

test('a log on a full disk is complained about now and then, not with every piece of output', async (t) => {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'hako-pump-'));
  const complaints: string[] = [];
  const pump = new Pump({ log: (_level, message) => complaints.push(message) }, (error) => assert.ifError(error));
  t.after(async () => {
    await pump.stop();
    rmSync(directory, { recursive: true });
  });
  await pump.ready;
  const [fifo, spool, offsets] = ['fifo', 'stdout', 'offsets'].map((name) => path.join(directory, name)) as [
    string,
    string,
    string,
  ];
  makeFifo(fifo);
  writeFileSync(spool, '');
  const source = openFd(fifo, O_RDONLY | O_NONBLOCK);
  const end = openSync(fifo, 'w');
  pump.add({ key: 'box', offsets, outputs: [{ stream: 'stdout', source, spool }], log: '/dev/full' });
  const pieces = 200;
  for (let piece = 1; piece <= pieces; piece += 1) {
    writeSync(end, 'x'.repeat(9) + '\n');
    while (statSync(spool).size < piece * 10) await sleep(1);
  }
  closeSync(end);
  await pump.drain('box', 10_000);
  // Nothing that the container said is lost with the log.
  assert.equal(readFileSync(spool).length, pieces * 10);
  assert(complaints.length > 0 && complaints.length < pieces / 2, `${complaints.length} complaints`);
  assert.match(complaints[0] ?? '', /cannot be written, trying again/);
});
