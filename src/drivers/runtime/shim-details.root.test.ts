import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, existsSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Box, namespace, never, noStdio, Reader, specOf } from '#core/suites/runtime-box.ts';
import type { Stdio } from '#core/runtime.ts';
import { makeHouse, type House } from './test-house.ts';

const sh = (script: string): string[] => ['sh', '-c', script];

describe('what a container inherits, and where its output may go', () => {
  let house: House;
  before(async () => {
    house = await makeHouse();
  });
  after(() => house[Symbol.asyncDispose]());

  /** Runs a container with streams of its own kind; gives its exit status. */
  async function runWith(id: string, script: string, stdio: Partial<Stdio>): Promise<number> {
    const spec = Buffer.from(JSON.stringify(specOf(id, sh(script), false)));
    const ref = { namespace, id, execId: '' };
    await house.runtime.create(
      { namespace, id, spec, rootfs: house.rootfs, stdio: { ...noStdio, ...stdio }, runtime: { name: house.name } },
      never,
    );
    await house.runtime.start(ref, never);
    const { status } = await house.runtime.wait(ref, never);
    await house.runtime.remove(ref, never);
    return status;
  }

  /** Resolves when the container has written more than a client may lag. */
  async function fillsSpool(id: string): Promise<void> {
    const { stdout } = house.runtime.spool(namespace, id);
    while ((statSync(stdout, { throwIfNoEntry: false })?.size ?? 0) < 1024 * 1024) await sleep(10);
  }

  test('the soft limit of open files is not the one that Node raised, and nothing of ours leaks in', async () => {
    await using box = await Box.run(
      house,
      sh(
        'ulimit -Sn; umask; ls /proc/self/fd | while read fd; do printf "$fd "; done; grep -E "Sig(Blk|Ign)" /proc/self/status; cat /proc/self/environ',
      ),
      {
        client: false,
        // runc built with Go 1.19 raises the limit by itself; crun hands on what it was given.
        runtime: { name: 'io.containerd.crun.v2' },
        process: { cwd: '/', env: ['ONLY=this', 'PATH=/bin'] },
      },
    );
    await box.wait();
    const [limit, mask, rest] = box.spooled('stdout').split('\n');
    assert.equal(limit, '1024');
    assert.equal(mask, '0022');
    // The directory itself is the one descriptor more.
    assert.match(rest!, /^0 1 2 3 Sig/);
    assert.match(box.spooled('stdout'), /ONLY=this/);
    assert.doesNotMatch(box.spooled('stdout'), /HAKO|NODE/);
  });

  test('a score that we may not set is clamped, and the container runs', async () => {
    await using box = await Box.run(house, ['cat', '/proc/self/oom_score_adj'], {
      client: false,
      process: { oomScoreAdj: -500 },
    });
    assert.equal((await box.wait()).status, 0);
    assert.match(box.spooled('stdout'), /^-?\d+\n$/);
  });

  test('file:// appends to a file, and makes the directories above it', async () => {
    const file = path.join(house.directory, 'logs/of/one/appended');
    assert.equal(await runWith('file1', 'echo one', { stdout: `file://${file}` }), 0);
    assert.equal(await runWith('file2', 'echo two', { stdout: `file://${file}` }), 0);
    assert.equal(readFileSync(file, 'utf8'), 'one\ntwo\n');
  });

  test('binary:// gives all output to a program, which is told whose it is', async () => {
    const at = (name: string): string => path.join(house.directory, name);
    const script = `#!/bin/sh
echo "$CONTAINER_ID $CONTAINER_NAMESPACE $*" >${at('told')}
cat <&3 >${at('logged-out')} 5>&- &
cat <&4 >${at('logged-err')} 5>&- &
exec 5>&-
wait
echo >${at('logged')}
`;
    writeFileSync(at('logger'), script, { mode: 0o755 });
    const stdout = `binary://${at('logger')}?one=1&two=b%20b`;
    assert.equal(await runWith('logged', 'seq 100000; seq 50000 >&2; exit 3', { stdout, stderr: stdout }), 3);
    while (!existsSync(at('logged'))) await sleep(10);
    assert.equal(readFileSync(at('told'), 'utf8'), `logged ${namespace} one 1 two b b\n`);
    const numbers = (last: number): string => Array.from({ length: last }, (_, i) => `${i + 1}\n`).join('');
    assert(readFileSync(at('logged-out'), 'utf8') === numbers(100_000));
    assert(readFileSync(at('logged-err'), 'utf8') === numbers(50_000));
  });

  test('a container that is out of memory is noted, before its exit and while it lives', async () => {
    const ref = { namespace, id: 'hungry', execId: '' };
    const spec = JSON.parse(
      JSON.stringify(specOf('hungry', sh("sh -c 'x=$(yes | head -c 100000000)'; sleep 60"), false)),
    ) as { linux: { cgroupsPath?: string; resources?: unknown } };
    spec.linux.cgroupsPath = `/hako-test-${process.pid}`;
    spec.linux.resources = { memory: { limit: 16 * 1024 * 1024 } };
    const request = { namespace, id: 'hungry', rootfs: house.rootfs, stdio: noStdio, runtime: { name: house.name } };
    await house.runtime.create({ ...request, spec: Buffer.from(JSON.stringify(spec)) }, never);
    const heard = Promise.withResolvers<void>();
    assert.equal(house.runtime.ooms(ref), 0);
    using _watch = house.runtime.watchOoms(ref, () => heard.resolve());
    await house.runtime.start(ref, never);
    await heard.promise;
    await house.runtime.kill(ref, { signal: 9, all: false }, never).catch(() => {});
    await house.runtime.wait(ref, never);
    assert(house.runtime.ooms(ref) > 0);
    await house.runtime.remove(ref, never);
    assert.equal(house.runtime.ooms(ref), 0);
  });

  test('a FIFO that is not there is not-found, a logging program that is not there is named, and nothing is left', async () => {
    await assert.rejects(runWith('bad1', 'true', { stdout: '/no/such/fifo' }), {
      code: 'not-found',
      message: /no\/such\/fifo/,
    });
    await assert.rejects(runWith('bad2', 'true', { stdout: 'binary:///no/logger' }), {
      message: /failed to start binary process: fork\/exec \/no\/logger: no such file or directory/,
    });
    assert.deepEqual(await house.runtime.list(never), []);
  });

  test('an OCI runtime that is not installed is named', async () => {
    const create = Box.create(house, ['true'], { runtime: { name: 'io.containerd.nosuchruntime.v2' } });
    await assert.rejects(create, { code: 'failed-precondition', message: /"nosuchruntime": not found/ });
  });

  test('a client that has stopped reading holds up no removal, and the shim outlives its leaving', async () => {
    const stdout = path.join(house.directory, 'stalled');
    execFileSync('mkfifo', [stdout]);
    const client = openSync(stdout, constants.O_RDONLY | constants.O_NONBLOCK);
    const before = house.pidOf('serve');
    try {
      // More than a client may lag: the container waits for it, until it is killed.
      const ended = runWith('stalled', 'seq 1 1000000', { stdout });
      const ref = { namespace, id: 'stalled', execId: '' };
      await fillsSpool('stalled');
      await house.runtime.kill(ref, { signal: 9, all: false }, never);
      assert.equal(await ended, 137);
    } finally {
      closeSync(client);
    }
    assert.equal(await runWith('next', 'exit 3', {}), 3);
    assert.equal(house.pidOf('serve'), before);
  });

  test('a client may come late, go, and come again', async () => {
    await using box = await Box.run(house, sh('echo one; read x; echo two; read x; echo three; read x'), {
      stdin: true,
    });
    await box.stdout?.sees(/one/);
    await box.stdout?.leave();
    box.type('\n');
    const second = new Reader(box.stdio.stdout);
    await second.sees(/two/);
    box.type('\n');
    await second.sees(/three/);
    box.type('\n');
    assert.equal(await second.all, 'two\nthree\n');
  });
});
