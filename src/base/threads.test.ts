import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Thread, ThreadPool } from './threads.ts';

let directory: string;
let script: URL;

before(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'hako-threads-'));
  script = pathToFileURL(path.join(directory, 'worker.ts'));
  await writeFile(
    script,
    `import { serveThread } from ${JSON.stringify(new URL('threads.ts', import.meta.url).href)};
    import { readFileSync } from 'node:fs';
    serveThread((request: { do: string }, check: () => void) => {
      if (request.do === 'echo') return request;
      if (request.do === 'throw') readFileSync('/no/such/file');
      if (request.do === 'die') process.exit(3);
      if (request.do === 'burst') { const all: unknown[] = []; for (;;) all.push(new Array(1e6).fill('x')); }
      if (request.do === 'loop') for (;;) check();
      if (request.do === 'deaf') for (;;);
      return undefined;
    });`,
  );
});
after(() => rm(directory, { recursive: true, force: true }));

const never = new AbortController().signal;

test('a thread answers, and its errors keep message and errno', async () => {
  const thread = new Thread(script);
  assert.deepEqual(await thread.run({ do: 'echo', n: 1 }), { do: 'echo', n: 1 });
  await assert.rejects(thread.run({ do: 'throw' }), { errno: 'ENOENT', code: 'unknown', message: /no\/such\/file/ });
  assert.deepEqual(await thread.run({ do: 'echo' }), { do: 'echo' });
  thread.end();
});

test('the death of a thread rejects all that wait for it', async () => {
  const thread = new Thread(script);
  const both = await Promise.allSettled([thread.run({ do: 'die' }), thread.run({ do: 'echo' })]);
  assert.deepEqual(
    both.map((one) => one.status),
    ['rejected', 'rejected'],
  );
  assert.ok(thread.dead);
  await assert.rejects(thread.run({ do: 'echo' }), { code: 'internal' });
});

test('a thread that runs out of memory takes nobody with it', async () => {
  const thread = new Thread(script, { heap: 32 });
  await assert.rejects(thread.run({ do: 'burst' }), { code: 'internal', message: /memory/ });
});

test('an abort stops a thread that checks, and ends one that does not', async () => {
  const reason = new Error('the caller left');
  const polite = new Thread(script);
  const abort = new AbortController();
  const answer = polite.run({ do: 'loop' }, abort.signal);
  abort.abort(reason);
  await assert.rejects(answer, reason);
  assert.equal(polite.dead, false);
  polite.end();

  const deaf = new Thread(script, { patience: 50 });
  const second = new AbortController();
  const waiting = deaf.run({ do: 'deaf' }, second.signal);
  second.abort(reason);
  await assert.rejects(waiting, reason);
  assert.ok(deaf.dead);
});

test('a pool queues, survives a death, and lets a waiting caller leave', async () => {
  const pool = new ThreadPool(script, 2);
  const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => pool.run({ do: 'echo', n }, never)));
  assert.deepEqual(
    answers.map((answer) => (answer as { n: number }).n),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
  await assert.rejects(pool.run({ do: 'die' }, never), { code: 'internal' });
  const abort = new AbortController();
  const busy = [pool.run({ do: 'loop' }, abort.signal), pool.run({ do: 'loop' }, abort.signal)];
  const queued = new AbortController();
  const third = pool.run({ do: 'echo' }, queued.signal);
  queued.abort(new Error('tired'));
  await assert.rejects(third, /tired/);
  abort.abort(new Error('done'));
  for (const one of busy) await assert.rejects(one, /done/);
  assert.deepEqual(await pool.run({ do: 'echo' }, never), { do: 'echo' });
  pool.end();
});
