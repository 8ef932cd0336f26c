// Debian's real `ctr` at the containerd door. With HAKO_TEST_ADDRESS these tests run against a real containerd.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { elsewhere, openHarbour, openRegistry, type Harbour } from './support/daemon.ts';
import { eventually, output, refusal, rows } from './support/expect.ts';
import type { GuestOptions, Outcome } from './support/guests.ts';
import { noContainers } from './support/machine.ts';

describe('ctr', { skip: noContainers('ctr') }, () => {
  let harbour: Harbour;
  let image: string;
  const ctr = (args: string, options?: GuestOptions): Promise<Outcome> => harbour.guests.ctr(args.split(' '), options);
  const run = (options: string, id: string, ...command: string[]): Promise<Outcome> =>
    harbour.guests.ctr(['run', ...options.split(' ').filter((word) => word !== ''), image, id, ...command]);
  const names = async (list: string): Promise<string[]> =>
    output(await ctr(`${list} ls -q`))
      .split('\n')
      .filter((name) => name !== '');

  const undo = new AsyncDisposableStack();
  after(() => undo.disposeAsync());
  before(async () => {
    const registry = await openRegistry(undo);
    harbour = await openHarbour(undo);
    image = registry.busybox;
    const pulled = await ctr(`images pull --plain-http ${image}`);
    assert.match(output(pulled), /manifest-sha256:[0-9a-f]{64}: +done/);
    assert.match(pulled.stdout, /layer-sha256:[0-9a-f]{64}: +done/);
    assert.match(pulled.stdout, /unpacking linux\/(amd64|arm64) sha256:/);
  });

  test('version tells client and server', async () => {
    const text = output(await ctr('version'));
    assert.match(text, /Server:\n\s+Version:/);
    if (elsewhere === undefined) assert.match(text, /Version: +v2\.1\.0\+hakobune\./);
  });

  test('plugins ls shows what containerd would call them', async () => {
    const plugins = rows(output(await ctr('plugins ls')));
    const status = (type: string, id: string): string | undefined =>
      plugins.find((one) => one['TYPE'] === type && one['ID'] === id)?.['STATUS'];
    assert.equal(status('io.containerd.content.v1', 'content'), 'ok');
    assert.equal(status('io.containerd.snapshotter.v1', 'overlayfs'), 'ok');
    assert.equal(status('io.containerd.differ.v1', 'walking'), 'ok');
    assert.equal(status('io.containerd.runtime.v2', 'task'), 'ok');
  });

  test('images ls, tag and rm', async () => {
    const [row] = rows(output(await ctr('images ls'))).filter((one) => one['REF'] === image);
    assert.match(row?.['DIGEST'] ?? '', /^sha256:[0-9a-f]{64}$/);
    assert.equal(row?.['TYPE'], 'application/vnd.oci.image.manifest.v1+json');
    output(await ctr(`images tag ${image} example.com/other:1`));
    assert.ok((await names('images')).includes('example.com/other:1'));
    refusal(await ctr(`images tag ${image} example.com/other:1`), /already exists/);
    output(await ctr('images rm example.com/other:1'));
    assert.ok(!(await names('images')).includes('example.com/other:1'));
  });

  test('run passes on output, error output and exit code, and --rm leaves nothing', async () => {
    const outcome = await run('--rm', 'fore', 'sh', '-c', 'echo out; echo err >&2; exit 7');
    assert.equal(output(outcome, 7), 'out');
    assert.match(outcome.stderr, /^err$/m);
    assert.deepEqual(await names('containers'), []);
    assert.deepEqual(await names('tasks'), []);
    assert.deepEqual((await ctr('snapshots ls')).stdout.includes('fore'), false);
  });

  test('run reads its standard input to the end', async () => {
    // Kept open until the answer: ctr 1.6 forgets an input that ends before the task runs.
    const running = harbour.guests.start('ctr', ['run', '--rm', image, 'in', 'cat'], { keepInput: true });
    running.child.stdin!.write('through the hull\n');
    await running.says('through the hull\n');
    running.child.stdin!.end();
    assert.equal(output(await running.outcome), 'through the hull');
  });

  test('a megabyte of output arrives whole', async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'hako-output-'));
    t.after(() => rmSync(dir, { recursive: true }));
    // Into a file: ctr 1.6 drops what it has not written yet when its own output blocks, with containerd too.
    const outputFile = join(dir, 'out');
    const script = 'head -c 1048576 /dev/zero | tr "\\0" x';
    output(await harbour.guests.ctr(['run', '--rm', image, 'big', 'sh', '-c', script], { outputFile }));
    assert.equal(readFileSync(outputFile, 'utf8'), 'x'.repeat(1_048_576));
  });

  test('a slow reader gets all output, though ctr reads no further once it has heard of the exit', async () => {
    const script = 'head -c 4194304 /dev/zero | tr "\\0" x';
    const running = harbour.guests.start('ctr', ['run', '--rm', image, 'slow', 'sh', '-c', script]);
    running.child.stdout!.pause();
    await setTimeout(1000);
    running.child.stdout!.resume();
    assert.equal(output(await running.outcome).length, 4_194_304);
  });

  test('run sets environment, directory, mounts and a read-only root', async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'hako-mount-'));
    t.after(() => rmSync(dir, { recursive: true }));
    writeFileSync(join(dir, 'cargo'), 'tea');
    const script = 'echo $DECK; pwd; cat /hold/cargo; touch /hold/seen; touch /x 2>&1 || true';
    const options = `--rm --env DECK=3 --cwd /tmp --read-only --mount type=bind,src=${dir},dst=/hold,options=rbind:rw`;
    const lines = output(await run(options, 'set', 'sh', '-c', script)).split('\n');
    assert.deepEqual(lines.slice(0, 2), ['3', '/tmp']);
    assert.match(lines[2] ?? '', /^tea/);
    assert.match(lines.join('\n'), /Read-only file system/);
    assert.equal(readFileSync(join(dir, 'seen'), 'utf8'), '');
  });

  test('run limits memory and processors', async () => {
    const script = 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true';
    assert.match(
      output(await run('--rm --memory-limit 33554432 --cpus 0.5', 'limits', 'sh', '-c', script)),
      /33554432|^$/,
    );
  });

  test("run --net-host sees the host's interfaces, run without only loopback", async () => {
    const count = async (options: string, id: string): Promise<string[]> =>
      output(await run(`--rm ${options}`.trim(), id, 'ls', '/sys/class/net')).split(/\s+/);
    assert.deepEqual(await count('', 'net-own'), ['lo']);
    assert.deepEqual((await count('--net-host', 'net-host')).includes('lo'), true);
  });

  test("run -t gives a terminal of the client's size", async () => {
    // The client tells its size after the start.
    const script = 'tty; until stty size | grep "24 80"; do sleep 0.1; done; exit 3';
    const running = harbour.guests.inTerminal('ctr', ['run', '--rm', '-t', image, 'term', 'sh', '-c', script]);
    const { code, stdout } = await running.outcome;
    assert.equal(code, 3, stdout);
    assert.match(stdout, /\/dev\/(pts\/\d+|console)/);
    assert.match(stdout, /24 80/);
  });

  test('run -d, then ls, info, exec, ps, kill, rm', async () => {
    output(await run('-d', 'life', 'sh', '-c', 'trap "exit 5" TERM; echo up; while :; do sleep 0.1; done'));
    const task = rows(output(await ctr('tasks ls'))).find((one) => one['TASK'] === 'life');
    assert.equal(task?.['STATUS'], 'RUNNING');
    assert.match(task?.['PID'] ?? '', /^\d+$/);
    assert.equal((JSON.parse(output(await ctr('containers info life'))) as { ID: string }).ID, 'life');
    const exec = await harbour.guests.ctr(['tasks', 'exec', '--exec-id', 'e1', 'life', 'sh', '-c', 'echo in; exit 9']);
    assert.equal(output(exec, 9), 'in');
    assert.ok(output(await ctr('tasks ps life')).includes(task?.['PID'] ?? 'none'));
    refusal(await ctr('containers rm life'), /running|failed precondition/i);
    output(await ctr('tasks kill life'));
    await eventually(async () => {
      const now = rows(output(await ctr('tasks ls'))).find((one) => one['TASK'] === 'life');
      assert.equal(now?.['STATUS'], 'STOPPED');
    });
    const removed = await ctr('tasks rm life');
    output(removed);
    assert.match(removed.stderr, /exit code 5/);
    output(await ctr('containers rm life'));
    assert.ok(!(await names('containers')).includes('life'));
  });

  test('tasks attach shows what comes and ends with the exit code', async () => {
    output(
      await run('-d', 'att', 'sh', '-c', 'for i in 1 2 3 4 5 6 7 8 9 10; do echo tick $i; sleep 0.2; done; exit 4'),
    );
    const attached = harbour.guests.start('ctr', ['tasks', 'attach', 'att']);
    const { code, stdout } = await attached.outcome;
    assert.equal(code, 4);
    assert.match(stdout, /tick 10/);
    await ctr('tasks rm att');
    output(await ctr('containers rm att'));
  });

  test('namespaces keep images and containers apart', async () => {
    assert.deepEqual(output(await ctr('-n apart images ls -q')), '');
    output(await ctr(`-n apart images pull --plain-http ${image}`));
    output(await harbour.guests.ctr(['-n', 'apart', 'run', '-d', image, 'same', 'sleep', '60']));
    output(await run('-d', 'same', 'sleep', '60'));
    const listed = output(await ctr('namespaces ls -q')).split('\n');
    assert.ok(listed.includes('apart') && listed.includes('default'));
    refusal(await ctr('namespaces rm apart'), /not empty|failed precondition|must be empty/i);
    for (const namespace of ['apart', 'default']) {
      output(await ctr(`-n ${namespace} tasks kill -s SIGKILL same`));
      await eventually(async () => void output(await ctr(`-n ${namespace} tasks rm same`)));
      output(await ctr(`-n ${namespace} containers rm same`));
    }
    output(await ctr(`-n apart images rm --sync ${image}`));
    await eventually(async () => void output(await ctr('namespaces rm apart')));
  });

  test('snapshots, content and leases are listed', async () => {
    assert.match(output(await ctr('snapshots ls')), /sha256:[0-9a-f]{64} .*Committed/);
    assert.match(output(await ctr('content ls')), /sha256:[0-9a-f]{64}.*containerd\.io\/distribution\.source/);
    output(await ctr('leases create --id mine'));
    assert.match(output(await ctr('leases ls')), /^mine/m);
    output(await ctr('leases rm mine'));
  });

  test('events tells of a run from create to delete', async () => {
    const events = harbour.guests.start('ctr', ['events']);
    // It subscribes without a word; ask until something is heard.
    await eventually(async () => {
      await ctr('namespaces label default seen=yes');
      assert.match(events.written(), /\/namespaces\/update/);
    });
    output(await run('--rm', 'told', 'true'));
    for (const topic of [
      '/containers/create',
      '/tasks/create',
      '/tasks/start',
      '/tasks/exit',
      '/tasks/delete',
      '/containers/delete',
    ]) {
      await events.says(topic);
    }
    events.child.kill('SIGTERM');
    await events.outcome;
  });

  test('what cannot be is refused in one clear line, and nothing half-made stays', async () => {
    refusal(
      await harbour.guests.ctr(['run', '--rm', 'example.com/none:1', 'none', 'true']),
      /example\.com\/none:1.*not found/,
    );
    refusal(await run('--rm', 'absent', '/bin/absent'), /\/bin\/absent.*(no such file|not found)/);
    output(await run('-d', 'twice', 'sleep', '60'));
    refusal(await run('-d', 'twice', 'sleep', '60'), /twice.*already exists/);
    output(await ctr('tasks kill -s SIGKILL twice'));
    await eventually(async () => void output(await ctr('tasks rm twice')));
    output(await ctr('containers rm twice'));
    assert.deepEqual(await names('containers'), []);
    assert.deepEqual(await names('tasks'), []);
  });

  test('a pull of what is not there names it', async () => {
    refusal(await ctr(`images pull --plain-http ${image}-none`), /busybox:latest-none.*not found/);
    refusal(await ctr('images pull --plain-http 127.0.0.1:1/x:1'), /127\.0\.0\.1:1.*connection refused/);
  });
});
