import assert from 'node:assert/strict';
import { existsSync, writeSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Box, namespace, never, noStdio, type RuntimeUnderTest } from './runtime-box.ts';

export type { RuntimeUnderTest } from './runtime-box.ts';

/** Registers what every Runtime must do. Needs root, and an OCI runtime. */
export function runtimeSuite(name: string, make: () => Promise<RuntimeUnderTest>): void {
  describe(`${name} keeps the contract of a runtime`, () => {
    let house: RuntimeUnderTest;
    before(async () => {
      house = await make();
    });
    after(() => house[Symbol.asyncDispose]());

    living(() => house);
    refusing(() => house);
    output(() => house);
    input(() => house);
    terminals(() => house);
    execs(() => house);
    control(() => house);
  });
}

type House = () => RuntimeUnderTest;
const sh = (script: string): string[] => ['sh', '-c', script];

function living(house: House): void {
  test('a container runs from created to stopped, and its exit code and output are kept', async () => {
    await using box = await Box.create(house(), sh('echo out; echo err >&2; exit 3'));
    const { runtime } = house();
    assert.equal((await runtime.state(box.ref, never)).status, 'created');
    const { pid } = await runtime.start(box.ref, never);
    const exit = await box.wait();
    assert.equal(exit.status, 3);
    assert.equal(exit.pid, pid);
    assert.equal(box.spooled('stdout'), 'out\n');
    assert.equal(box.spooled('stderr'), 'err\n');
    assert.equal(await box.stdout?.all, 'out\n');
    assert.equal(await box.stderr?.all, 'err\n');
    assert.deepEqual(
      box
        .records()
        .map(({ log, stream }) => `${stream} ${log}`)
        .toSorted(),
      ['stderr err\n', 'stdout out\n'],
    );
    const state = await runtime.state(box.ref, never);
    assert.equal(state.status, 'stopped');
    assert.equal(state.exit?.status, 3);
  });

  test('remove() gives the exit once more and leaves no bundle', async () => {
    await using box = await Box.run(house(), sh('exit 7'));
    const { runtime } = house();
    await box.wait();
    const { bundle } = await runtime.state(box.ref, never);
    assert.equal((await runtime.remove(box.ref, never)).status, 7);
    assert.equal(existsSync(bundle), false);
    await assert.rejects(runtime.state(box.ref, never), { code: 'not-found' });
  });

  test('everyone who waits hears of the end, before and after it', async () => {
    await using box = await Box.run(house(), sh('sleep 0.1; exit 4'));
    const exits = await Promise.all([box.wait(), box.wait(), box.wait()]);
    exits.push(await box.wait());
    assert.deepEqual(
      exits.map(({ status }) => status),
      [4, 4, 4, 4],
    );
  });

  test('a wait ends with its signal, and the container goes on', async () => {
    await using box = await Box.run(house(), ['sleep', '100']);
    await assert.rejects(house().runtime.wait(box.ref, AbortSignal.timeout(20)));
    assert.equal((await house().runtime.state(box.ref, never)).status, 'running');
  });

  test('twenty containers side by side do not mix', async () => {
    await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        await using box = await Box.run(house(), sh(`echo number ${i}; exit ${i}`));
        assert.equal((await box.wait()).status, i);
        assert.equal(await box.stdout?.all, `number ${i}\n`);
      }),
    );
  });

  test('list() names a task, and discard() ends and removes it, twice if need be', async () => {
    await using box = await Box.run(house(), ['sleep', '100']);
    const { runtime } = house();
    const listed = async (): Promise<boolean> => (await runtime.list(never)).some(({ id }) => id === box.ref.id);
    assert.equal(await listed(), true);
    await runtime.discard(namespace, box.ref.id, never);
    assert.equal(await listed(), false);
    await runtime.discard(namespace, box.ref.id, never);
  });
}

function refusing(house: House): void {
  test('a command that is not in the image is not-found, and nothing is left', async () => {
    await assert.rejects(Box.run(house(), ['no-such-command']), { code: 'not-found', message: /no-such-command/ });
    assert.deepEqual(await house().runtime.list(never), []);
  });

  test('a file that may not be executed is permission-denied', async () => {
    await assert.rejects(Box.run(house(), ['/etc/plain']), { code: 'permission-denied', message: /plain/ });
  });

  test('a second container of a name is already-exists, and the first lives', async () => {
    await using box = await Box.run(house(), ['sleep', '100']);
    const again = {
      namespace,
      id: box.ref.id,
      spec: Buffer.from('{}'),
      rootfs: [],
      stdio: box.stdio,
      runtime: { name: house().name },
    };
    await assert.rejects(house().runtime.create(again, never), { code: 'already-exists' });
    assert.equal((await house().runtime.state(box.ref, never)).status, 'running');
  });

  test('a running container cannot be removed, nor started twice', async () => {
    await using box = await Box.run(house(), ['sleep', '100']);
    await assert.rejects(house().runtime.remove(box.ref, never), { code: 'failed-precondition' });
    await assert.rejects(house().runtime.start(box.ref, never), { code: 'failed-precondition' });
  });

  test('an unknown task is not-found', async () => {
    const ref = { namespace, id: 'nobody', execId: '' };
    await assert.rejects(house().runtime.state(ref, never), { code: 'not-found' });
    await assert.rejects(house().runtime.wait(ref, never), { code: 'not-found' });
    await assert.rejects(house().runtime.kill(ref, { signal: 9, all: false }, never), { code: 'not-found' });
  });
}

function output(house: House): void {
  test('a client gets every byte of much output and then its end', async () => {
    await using box = await Box.run(house(), sh('seq 1 300000'), { log: false });
    assert.equal((await box.wait()).status, 0);
    const got = await box.stdout!.all;
    assert.equal(got.length, 1_988_895);
    assert.equal(got.slice(-14), '299999\n300000\n');
  });

  test('a client that leaves does not hold the container up', async () => {
    await using box = await Box.run(house(), sh('echo first; read x; seq 1 100000; exit 5'), { stdin: true });
    await box.stdout?.sees(/first/);
    await Promise.all([box.stdout?.leave(), box.stderr?.leave()]);
    box.type('go\n');
    assert.equal((await box.wait()).status, 5);
    assert.match(box.spooled('stdout'), /\n100000\n$/);
  });

  test('a container without clients writes its log all the same', async () => {
    await using box = await Box.run(house(), sh('for i in 1 2 3; do echo line $i; done'), { client: false });
    await box.wait();
    assert.deepEqual(
      box.records().map(({ log }) => log),
      ['line 1\n', 'line 2\n', 'line 3\n'],
    );
  });

  test('a long line becomes records of 16 KiB, cut between characters, of which the last has the newline', async () => {
    await using box = await Box.run(
      house(),
      sh('i=0; while [ $i -lt 7000 ]; do printf "xä€"; i=$((i+1)); done; echo; printf tail'),
      { client: false },
    );
    await box.wait();
    const logs = box.records().map(({ log }) => log);
    assert.deepEqual(
      logs.map((log) => log.endsWith('\n')),
      [false, false, true, false],
    );
    assert.equal(logs.join(''), `${'xä€'.repeat(7000)}\ntail`);
    assert.ok(Buffer.byteLength(logs[0]!) > 16_380 && Buffer.byteLength(logs[0]!) <= 16_384);
  });
}

function input(house: House): void {
  test('what a client writes arrives, and closeStdin() is the end of it', async () => {
    await using box = await Box.run(house(), ['cat'], { stdin: true });
    box.type('one\n');
    await box.stdout?.sees(/one/);
    box.type('two\n');
    await house().runtime.closeStdin(box.ref, never);
    assert.equal((await box.wait()).status, 0);
    assert.equal(await box.stdout?.all, 'one\ntwo\n');
  });

  test('a client that leaves does not end the input', async () => {
    await using box = await Box.run(house(), sh('read a; echo $a; cat; echo ended'), { stdin: true });
    box.type('hello\n');
    await box.stdout?.sees(/hello/);
    box.hangUp();
    assert.equal((await house().runtime.state(box.ref, never)).status, 'running');
    assert.equal(box.stdout?.text, 'hello\n');
    await house().runtime.closeStdin(box.ref, never);
    assert.equal(await box.stdout?.all, 'hello\nended\n');
  });

  test('a container without input reads its end at once', async () => {
    await using box = await Box.run(house(), ['cat']);
    assert.equal((await box.wait()).status, 0);
  });
}

function terminals(house: House): void {
  test('a terminal takes input, echoes it, and tells its size', async () => {
    await using box = await Box.run(house(), sh('read a; stty size; read b; stty size; exit 6'), {
      terminal: true,
      stdin: true,
    });
    const { runtime } = house();
    await runtime.resize(box.ref, { width: 100, height: 40 }, never);
    box.type('a\n');
    await box.stdout?.sees(/40 100/);
    await runtime.resize(box.ref, { width: 132, height: 50 }, never);
    box.type('b\n');
    assert.equal((await box.wait()).status, 6);
    assert.equal(await box.stdout?.all, 'a\r\n40 100\r\nb\r\n50 132\r\n');
    assert.equal(box.spooled('stdout'), 'a\r\n40 100\r\nb\r\n50 132\r\n');
  });

  test('much output of a terminal arrives whole', async () => {
    await using box = await Box.run(house(), sh('seq 1 20000'), { terminal: true });
    await box.wait();
    const got = await box.stdout!.all;
    assert.equal(got.length, 128_894);
    assert.equal(got.slice(-7), '20000\r\n');
  });
}

function execs(house: House): void {
  test('a further process has its own exit code and streams', async () => {
    await using box = await Box.run(house(), ['sleep', '100']);
    const { runtime } = house();
    const exec = await box.exec('more', sh('echo out; echo err >&2; exit 9'));
    assert.equal((await runtime.wait(exec.ref, never)).status, 9);
    assert.equal(await exec.stdout?.all, 'out\n');
    assert.equal(await exec.stderr?.all, 'err\n');
    assert.equal((await runtime.remove(exec.ref, never)).status, 9);
    await assert.rejects(runtime.state(exec.ref, never), { code: 'not-found' });
    assert.equal((await runtime.state(box.ref, never)).status, 'running');
  });

  test('a further process takes input until closeStdin()', async () => {
    await using box = await Box.run(house(), ['sleep', '100']);
    const exec = await box.exec('more', ['cat'], { stdin: true });
    writeSync(exec.stdin!, 'typed\n');
    await exec.stdout?.sees(/typed/);
    await house().runtime.closeStdin(exec.ref, never);
    assert.equal((await house().runtime.wait(exec.ref, never)).status, 0);
  });

  test('a further process may have a terminal', async () => {
    await using box = await Box.run(house(), ['sleep', '100']);
    const exec = await box.exec('more', sh('tty; read a; stty size'), { terminal: true, stdin: true });
    await exec.stdout?.sees(/pts/);
    await house().runtime.resize(exec.ref, { width: 77, height: 33 }, never);
    writeSync(exec.stdin!, '\n');
    assert.equal((await house().runtime.wait(exec.ref, never)).status, 0);
    assert.match(await exec.stdout!.all, /33 77\r\n$/);
  });

  test('a further process that cannot be executed is not-found, and the container lives', async () => {
    await using box = await Box.run(house(), ['sleep', '100']);
    await assert.rejects(box.exec('bad', ['no-such-command']), { code: 'not-found', message: /no-such-command/ });
    assert.equal((await house().runtime.state(box.ref, never)).status, 'running');
  });

  test('further processes end with the container', async () => {
    await using box = await Box.run(house(), ['sleep', '100']);
    const exec = await box.exec('more', ['sleep', '100']);
    await house().runtime.kill(box.ref, { signal: 9, all: false }, never);
    assert.equal((await house().runtime.wait(exec.ref, never)).status, 137);
    assert.equal((await box.wait()).status, 137);
  });
}

function control(house: House): void {
  test('a signal reaches the process, and its end tells of it', async () => {
    await using box = await Box.run(house(), sh('trap "exit 21" TERM; echo ready; while :; do sleep 0.05; done'));
    await box.stdout?.sees(/ready/);
    await house().runtime.kill(box.ref, { signal: 15, all: false }, never);
    assert.equal((await box.wait()).status, 21);
    await assert.rejects(house().runtime.kill(box.ref, { signal: 15, all: false }, never), { code: 'not-found' });
  });

  test('a container that was never started can be removed', async () => {
    const box = await Box.create(house(), ['sleep', '100']);
    await house().runtime.remove(box.ref, never);
    await assert.rejects(house().runtime.state(box.ref, never), { code: 'not-found' });
    await box[Symbol.asyncDispose]();
  });

  test('pause() holds the container, resume() lets it go, and a paused one can be killed', async () => {
    await using box = await Box.run(house(), ['sleep', '100']);
    const { runtime } = house();
    await runtime.pause(box.ref, never);
    assert.equal((await runtime.state(box.ref, never)).status, 'paused');
    await runtime.resume(box.ref, never);
    assert.equal((await runtime.state(box.ref, never)).status, 'running');
    await runtime.pause(box.ref, never);
    await runtime.kill(box.ref, { signal: 9, all: false }, never);
    assert.equal((await box.wait()).status, 137);
  });

  test('a paused container takes no further process, and one that was not started cannot be signalled', async () => {
    await using box = await Box.run(house(), ['sleep', '100']);
    const { runtime } = house();
    const spec = Buffer.from(
      JSON.stringify({ args: ['true'], cwd: '/', env: ['PATH=/bin'], user: { uid: 0, gid: 0 } }),
    );
    const early = { ...box.ref, execId: 'early' };
    await runtime.exec(early, { spec, stdio: noStdio }, never);
    await assert.rejects(runtime.kill(early, { signal: 9, all: false }, never), { code: 'failed-precondition' });
    assert.equal((await runtime.state(early, never)).status, 'created');
    await runtime.pause(box.ref, never);
    const late = { ...box.ref, execId: 'late' };
    await assert.rejects(runtime.exec(late, { spec, stdio: noStdio }, never), { code: 'failed-precondition' });
    await assert.rejects(runtime.state(late, never), { code: 'not-found' });
    await runtime.resume(box.ref, never);
    await runtime.exec(late, { spec, stdio: noStdio }, never);
    await runtime.start(late, never);
    assert.equal((await runtime.wait(late, never)).status, 0);
  });

  test('pids() tells first and further processes apart, and stats() is of a known type', async () => {
    await using box = await Box.run(house(), sh('sleep 100 & wait'));
    const { runtime } = house();
    const { ref } = await box.exec('more', ['sleep', '100']);
    const pids = await runtime.pids(box.ref, never);
    const { pid } = await runtime.state(ref, never);
    assert.equal(pids.find(({ execId }) => execId === 'more')?.pid, pid);
    assert.ok(pids.length >= 3);
    const stats = await runtime.stats(box.ref, never);
    assert.match(stats.typeUrl, /^io\.containerd\.cgroups\.v[12]\.Metrics$/);
    assert.ok(stats.value.length > 20);
  });

  test('update() takes resources of the OCI spec', async () => {
    await using box = await Box.run(house(), ['sleep', '100']);
    const resources = {
      typeUrl: 'types.containerd.io/opencontainers/runtime-spec/1/LinuxResources',
      value: Buffer.from('{"pids":{"limit":77}}'),
    };
    await house().runtime.update(box.ref, resources, never);
  });
}
