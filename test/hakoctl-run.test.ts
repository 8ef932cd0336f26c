// hakoctl's containers, tasks and shims against a private daemon. With HAKO_TEST_ADDRESS they run against a real containerd.
import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { elsewhere, openHarbour, openRegistry, type Harbour } from './support/daemon.ts';
import { eventually, output, refusal, rows } from './support/expect.ts';
import type { GuestOptions, Outcome, Running } from './support/guests.ts';
import { findBusybox } from './support/images.ts';
import { noContainers } from './support/machine.ts';

describe('hakoctl run', { skip: noContainers() }, () => {
  let harbour: Harbour;
  let image: string;
  const dir = mkdtempSync(join(tmpdir(), 'hakoctl-run-'));
  const fifos = join(dir, 'fifos');
  const hakoctl = (args: string, options?: GuestOptions): Promise<Outcome> =>
    harbour.guests.hakoctl(args.split(' '), options);
  const runWords = (options: string, id: string, command: string[]): string[] => [
    ...['run', '--fifo-dir', fifos, ...options.split(' ').filter((word) => word !== '')],
    ...[image, id, ...command],
  ];
  const run = (options: string, id: string, ...command: string[]): Promise<Outcome> =>
    harbour.guests.hakoctl(runWords(options, id, command));
  const begin = (options: string, id: string, ...command: string[]): Running =>
    harbour.guests.start('hakoctl', runWords(options, id, command), { keepInput: true });
  const names = async (list: string): Promise<string[]> =>
    output(await hakoctl(`${list} ls -q`))
      .split('\n')
      .filter((name) => name !== '');
  const nothingLeft = async (id: string): Promise<void> => {
    assert.ok(!(await names('containers')).includes(id));
    assert.ok(!(await names('tasks')).includes(id));
    assert.ok(!output(await hakoctl('snapshots ls')).includes(id));
    assert.deepEqual(await names('leases'), []);
    assert.deepEqual(existsSync(fifos) ? readdirSync(fifos) : [], []);
  };
  const remove = async (id: string): Promise<void> => {
    await hakoctl(`tasks rm -f ${id}`);
    output(await hakoctl(`containers rm ${id}`));
  };

  const undo = new AsyncDisposableStack();
  after(async () => {
    await undo.disposeAsync();
    rmSync(dir, { recursive: true });
  });
  before(async () => {
    const registry = await openRegistry(undo);
    harbour = await openHarbour(undo);
    image = registry.busybox;
    const pull = ['images', 'pull', '--plain-http', image];
    // containerd pulls for hakoctl from 1.7 on.
    output(await (elsewhere === undefined ? harbour.guests.hakoctl(pull) : harbour.guests.ctr(pull)));
  });

  test('passes on output, error output and exit code, and --rm leaves nothing', async () => {
    const outcome = await run('--rm', 'fore', 'sh', '-c', 'echo out; echo err >&2; exit 7');
    assert.equal(output(outcome, 7), 'out');
    assert.equal(outcome.stderr, 'err\n');
    await nothingLeft('fore');
  });

  test('without --rm the container stays, and its task does not', async () => {
    output(await run('', 'stays', 'true'));
    assert.ok((await names('containers')).includes('stays'));
    assert.ok(!(await names('tasks')).includes('stays'));
    await remove('stays');
    await nothingLeft('stays');
  });

  test('reads its input to the end, also one that has ended before the task runs', async () => {
    const words = runWords('--rm', 'in', ['cat']);
    assert.equal(output(await harbour.guests.hakoctl(words, { input: 'through the hull\n' })), 'through the hull');
    const large = `${'x'.repeat(1023)}\n`.repeat(2048);
    const { stdout } = await harbour.guests.hakoctl(runWords('--rm', 'large', ['cat']), { input: large });
    assert.equal(stdout.length, large.length);
    assert.ok(stdout === large);
  });

  test('a slow reader gets all output, in order', async () => {
    const running = begin('--rm', 'slow', 'sh', '-c', 'head -c 4194304 /dev/zero | tr "\\0" x; echo; echo last');
    running.child.stdout!.pause();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    running.child.stdout!.resume();
    const text = output(await running.outcome);
    assert.equal(text.length, 4_194_304 + '\nlast'.length);
    assert.ok(text.endsWith('x\nlast'));
  });

  test('a reader that goes ends the container, and nothing is left', async () => {
    const running = begin('--rm', 'pipe', 'yes');
    await running.says('y');
    running.child.stdout!.destroy();
    assert.equal((await running.outcome).code, 141);
    await nothingLeft('pipe');
  });

  test('-t gives a terminal of our size, takes what is typed, and both outputs are one', async () => {
    const script = 'tty; stty size; read line; echo "<$line>" >&2; exit 3';
    const running = harbour.guests.inTerminal('hakoctl', runWords('--rm -t', 'term', ['sh', '-c', script]));
    await running.says('24 80');
    running.child.stdin!.write('ahoy\r');
    const { code, stdout } = await running.outcome;
    assert.equal(code, 3, stdout);
    assert.match(stdout, /\/dev\/(pts\/\d+|console)/);
    assert.match(stdout, /<ahoy>/);
    await nothingLeft('term');
  });

  test('a signal goes to the process; who asks three times to end is obeyed', async () => {
    const polite = begin(
      '--rm',
      'polite',
      'sh',
      '-c',
      'trap "echo bye; exit 5" TERM; echo up; while :; do sleep 0.1; done',
    );
    await polite.says('up');
    polite.child.kill('SIGTERM');
    assert.match(output(await polite.outcome, 5), /bye/);
    // The first process of a container does not hear a signal that it has no handler for.
    const deaf = begin('--rm', 'deaf', 'sh', '-c', 'echo up; exec sleep 60');
    await deaf.says('up');
    for (let count = 0; count < 3; count += 1) {
      deaf.child.kill('SIGINT');
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.equal((await deaf.outcome).code, 137);
    await nothingLeft('deaf');
  });

  test('-d, then ls, attach, exec, ps, pause, metrics, kill, rm', async () => {
    const script = 'trap "exit 5" TERM; while :; do if read -t 1 l; then echo "got $l"; fi; done';
    output(await run('-d', 'life', 'sh', '-c', script));
    const task = rows(output(await hakoctl('tasks ls'))).find((one) => one['TASK'] === 'life');
    assert.equal(task?.['STATUS'], 'RUNNING');
    const attached = harbour.guests.start('hakoctl', ['tasks', 'attach', 'life'], { keepInput: true });
    attached.child.stdin!.write('word\n');
    await attached.says('got word');
    const exec = (id: string, ...words: string[]): Promise<Outcome> =>
      harbour.guests.hakoctl(['tasks', 'exec', '--fifo-dir', fifos, '--exec-id', id, ...words], { input: 'fed\n' });
    assert.equal(output(await exec('e1', '--cwd', '/tmp', 'life', 'sh', '-c', 'pwd; cat; exit 9'), 9), '/tmp\nfed');
    assert.match(output(await exec('e2', '--user', 'harbour', 'life', 'id')), /^uid=1000\(harbour\) gid=1000/);
    refusal(await exec('e3', 'life', '/bin/absent'), /absent/);
    assert.ok(output(await hakoctl('tasks ps life')).includes(task?.['PID'] ?? 'none'));
    assert.match(output(await hakoctl('tasks metrics life')), /pids\.current +\d+/);
    output(await hakoctl('tasks pause life'));
    const [paused] = JSON.parse(output(await hakoctl('tasks ls --json'))) as { id: string; status: string }[];
    assert.equal(rows(output(await hakoctl('tasks ls')))[0]?.['STATUS'], 'PAUSED');
    assert.equal(paused?.id, 'life');
    output(await hakoctl('tasks resume life'));
    refusal(await hakoctl('containers rm life'), /hakoctl tasks kill life/);
    refusal(await hakoctl('tasks rm life'), /hakoctl tasks delete -f/);
    output(await hakoctl('tasks kill life'));
    assert.equal((await attached.outcome).code, 5);
    await eventually(async () => assert.ok(!(await names('tasks')).includes('life')));
    output(await hakoctl('containers rm life'));
    await nothingLeft('life');
  });

  test('create, label, info, start with a file for the pid and a log', async () => {
    output(await hakoctl(`containers create --label team=build --env DECK=3 ${image} made sh -c`));
    assert.match(output(await hakoctl('containers label made team=run')), /team=run/);
    const info = JSON.parse(output(await hakoctl('containers info made'))) as {
      Labels: Record<string, string>;
      Spec: { process: { env: string[] } };
    };
    assert.equal(info.Labels['team'], 'run');
    assert.equal(info.Labels['io.containerd.image.config.stop-signal'], 'SIGTERM');
    assert.ok(info.Spec.process.env.includes('DECK=3'));
    await remove('made');
    const [log, pid] = [join(dir, 'log'), join(dir, 'pid')];
    output(await run(`-d --log-uri file://${log} --pid-file ${pid}`, 'logs', 'sh', '-c', 'echo noted; sleep 60'));
    await eventually(() => assert.equal(readFileSync(log, 'utf8'), 'noted\n'));
    const [task] = rows(output(await hakoctl('tasks ls')));
    assert.equal(readFileSync(pid, 'utf8'), task?.['PID']);
    refusal(await hakoctl('tasks attach logs'), /no streams to attach to/);
    await remove('logs');
  });

  test('what the flags ask for is what the process finds', async () => {
    writeFileSync(join(dir, 'cargo'), 'tea\n');
    chmodSync(dir, 0o755);
    const script = 'id -u; echo $DECK; pwd; cat /hold/cargo; touch /x 2>&1; hostname; grep CapEff /proc/self/status';
    const options = `--rm --user harbour --env DECK=3 --cwd /tmp --read-only --hostname ship --mount type=bind,src=${dir},dst=/hold,options=rbind:ro`;
    const lines = output(await run(options, 'set', 'sh', '-c', script)).split('\n');
    assert.deepEqual(lines.slice(0, 4), ['1000', '3', '/tmp', 'tea']);
    assert.match(lines[4] ?? '', /Read-only file system/);
    assert.equal(lines[5], 'ship');
    assert.match(lines[6] ?? '', /CapEff:\t0{16}/);
    const seccomp = await run('--rm --seccomp', 'filtered', 'grep', 'Seccomp:', '/proc/self/status');
    assert.match(output(seccomp), /Seccomp:\s+2/);
    const config = join(dir, 'dumped.json');
    output(await run(`--rm --net-host --dump-config ${config}`, 'dump', 'true'));
    const dumped = JSON.parse(readFileSync(config, 'utf8')) as { linux: { namespaces: { type: string }[] } };
    assert.ok(!dumped.linux.namespaces.some(({ type }) => type === 'network'));
  });

  test('a spec of one’s own, with a root file system of one’s own', async () => {
    const root = join(dir, 'root');
    for (const name of ['bin', 'dev', 'proc', 'sys', 'run']) mkdirSync(join(root, name), { recursive: true });
    writeFileSync(join(root, 'bin/busybox'), findBusybox()!.bytes, { mode: 0o755 });
    const [config, own] = [join(dir, 'dumped.json'), join(dir, 'own.json')];
    const words = ['run', '--rm', '--fifo-dir', fifos];
    const rooted = [...words, '--dump-config', config, '--rootfs', root, 'rooted', '/bin/busybox', 'echo', 'here'];
    assert.equal(output(await harbour.guests.hakoctl(rooted)), 'here');
    const spec = JSON.parse(readFileSync(config, 'utf8')) as { process: object };
    const args = ['/bin/busybox', 'sh', '-c', 'echo own; exit 6'];
    writeFileSync(own, JSON.stringify({ ...spec, process: { ...spec.process, args } }));
    assert.equal(output(await harbour.guests.hakoctl([...words, '--config', own, 'own']), 6), 'own');
    await nothingLeft('own');
  });

  test('a user namespace: files belong to whom the mapping says, and the snapshot is shared', async () => {
    // The root of a user namespace is nobody on the way to its files.
    if (elsewhere === undefined)
      for (const path of [harbour.daemon.dir, dirname(harbour.daemon.dir)]) chmodSync(path, 0o755);
    const options = '--rm --uidmap 0:200000:65536 --gidmap 0:200000:65536';
    const script = 'id -u; stat -c %u:%g /etc/passwd; cat /proc/self/uid_map';
    for (const id of ['mapped', 'again']) {
      const lines = output(await run(options, id, 'sh', '-c', script)).split('\n');
      assert.deepEqual(lines.slice(0, 2), ['0', '0:0']);
      assert.match(lines[2] ?? '', /0 +200000 +65536/);
    }
  });

  test('what cannot be is refused in one clear line, and nothing is left', async () => {
    const ends = async (id: string, outcome: Promise<Outcome>, message: RegExp): Promise<void> => {
      refusal(await outcome, message);
      await nothingLeft(id);
    };
    await ends('none', hakoctl(`run --rm nosuch:1 none true`), /hakoctl images pull docker\.io\/library\/nosuch:1/);
    await ends('apart', hakoctl(`-n apart run --rm ${image} apart true`), /hakoctl -n default run --rm/);
    await ends('user', run('--rm --user nobodyatall', 'user', 'true'), /nobodyatall.*\/etc\/passwd/);
    await ends('absent', run('--rm', 'absent', '/bin/absent'), /\/bin\/absent.*(no such file|not found)/);
    await ends('both', run('--rm -d', 'both', 'true'), /--detach and --rm/);
    await ends('gpus', run('--rm --gpus 0', 'gpus', 'true'), /--gpus is not supported/);
    await ends('mount', run('--rm --mount type=bind,foo=1', 'mount', 'true'), /"foo" is not supported/);
    refusal(await hakoctl('containers info nosuch'), /container "nosuch": not found/);
    refusal(await hakoctl('tasks kill nosuch'), /container "nosuch": not found/);
    refusal(await hakoctl('run'), /image ref must be provided/);
    output(await run('-d --null-io', 'twice', 'sleep', '60'));
    refusal(await run('-d --null-io', 'twice', 'sleep', '60'), /twice.*already exists/);
    assert.ok((await names('tasks')).includes('twice'), 'the first one lives on');
    await remove('twice');
  });

  test('a shim is spoken to without the daemon', { skip: elsewhere !== undefined }, async () => {
    output(await run('-d --null-io', 'direct', 'sleep', '60'));
    const at = `--shim-address ${join(harbour.daemon.state, 'shim/shim.sock')}`;
    const state = JSON.parse(output(await hakoctl(`shim --id direct ${at} state`))) as { id: string; status: number };
    assert.deepEqual([state.id, state.status], ['direct', 2]);
    refusal(await hakoctl('shim --shim-address /nonexistent state'), /nobody answers at \/nonexistent/);
    await remove('direct');
  });
});
