// The stock `docker` and our `hako` at the Docker door: the same lines, for they must mean the same.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openHarbour, openRegistry, type Harbour } from './support/daemon.ts';
import { eventually, output, refusal, rows } from './support/expect.ts';
import type { Outcome } from './support/guests.ts';
import { noContainers } from './support/machine.ts';

for (const guest of ['docker', 'hako'] as const) {
  describe(guest, { skip: noContainers(...(guest === 'docker' ? ['docker'] : [])) }, () => {
    let harbour: Harbour;
    let image: string;
    const undo = new AsyncDisposableStack();
    const call = (...args: string[]): Promise<Outcome> => harbour.guests[guest](args);
    /** The names of all containers, running or not. */
    const names = async (): Promise<string[]> =>
      output(await call('ps', '-a', '--format', '{{.Names}}'))
        .split('\n')
        .filter((name) => name !== '');

    after(() => undo.disposeAsync());
    before(async () => {
      const registry = await openRegistry(undo);
      harbour = await openHarbour(undo);
      image = registry.busybox;
      const pulled = output(await call('pull', image));
      assert.match(pulled, /Pull complete/);
      assert.match(pulled, /Digest: sha256:[0-9a-f]{64}\n/);
      assert.match(pulled, new RegExp(`Status: Downloaded newer image for ${image}`));
    });

    test('version and info tell client and server', async () => {
      assert.match(output(await call('version')), /Server:[^]*Version:/);
      assert.match(output(await call('info')), /Images: 1/);
    });

    test('a second pull finds the image up to date', async () => {
      assert.match(output(await call('pull', image)), /Image is up to date/);
    });

    test('images lists the image, inspect tells its configuration', async () => {
      const [row] = rows(output(await call('images')));
      assert.equal(row?.['REPOSITORY'], image.replace(/:latest$/, ''));
      assert.equal(row?.['TAG'], 'latest');
      assert.match(row?.['IMAGE ID'] ?? '', /^[0-9a-f]{12}$/);
      const [inspected] = JSON.parse(output(await call('inspect', image))) as {
        Id: string;
        Config: { Cmd: string[] };
      }[];
      assert.match(inspected?.Id ?? '', /^sha256:[0-9a-f]{64}$/);
      assert.deepEqual(inspected?.Config.Cmd, ['sh']);
    });

    test('run passes on output, error output and exit code, and --rm leaves nothing', async () => {
      const outcome = await call(
        'run',
        '--rm',
        '--network',
        'none',
        image,
        'sh',
        '-c',
        'echo out; echo err >&2; exit 7',
      );
      assert.equal(output(outcome, 7), 'out');
      assert.equal(outcome.stderr, 'err\n');
      await eventually(async () => assert.deepEqual(await names(), []));
    });

    test('run -i reads its standard input to the end', async () => {
      const outcome = await harbour.guests[guest](['run', '--rm', '-i', '--network', 'none', image, 'cat'], {
        input: 'through the hull\n',
      });
      assert.equal(output(outcome), 'through the hull');
    });

    test("run -it gives a terminal of the client's size", async () => {
      const script = 'tty; until stty size | grep "24 80"; do sleep 0.1; done; exit 3';
      const running = harbour.guests.inTerminal(guest, [
        'run',
        '--rm',
        '-it',
        '--network',
        'none',
        image,
        'sh',
        '-c',
        script,
      ]);
      const { code, stdout } = await running.outcome;
      assert.equal(code, 3, stdout);
      assert.match(stdout, /\/dev\/(pts\/\d+|console)/);
    });

    test('run -it is left by Ctrl-P Ctrl-Q, and the container runs on', async () => {
      const running = harbour.guests.inTerminal(guest, [
        'run',
        '--name',
        'left',
        '-it',
        '--network',
        'none',
        image,
        'sh',
      ]);
      await running.says('#');
      running.child.stdin!.write('\x10\x11');
      assert.equal((await running.outcome).code, 0);
      assert.equal(output(await call('inspect', '-f', '{{.State.Running}}', 'left')), 'true');
      output(await call('rm', '-f', 'left'));
    });

    test('run sets environment, directory, user and volumes', async (t) => {
      const dir = mkdtempSync(join(tmpdir(), 'hako-mount-'));
      t.after(() => rmSync(dir, { recursive: true }));
      const script = 'echo $DECK $(pwd) $(id -u):$(id -g); echo tea >/hold/cargo';
      const options = ['--rm', '--network', 'none', '-e', 'DECK=3', '-w', '/tmp', '-v', `${dir}:/hold`];
      assert.equal(output(await call('run', ...options, image, 'sh', '-c', script)), '3 /tmp 0:0');
      assert.equal(readFileSync(join(dir, 'cargo'), 'utf8'), 'tea\n');
      assert.equal(
        output(
          await call('run', '--rm', '--network', 'none', '-u', '1000:50', image, 'sh', '-c', 'echo $(id -u):$(id -g)'),
        ),
        '1000:50',
      );
    });

    test('a signal to run reaches the container', async () => {
      const running = harbour.guests.start(guest, [
        ...['run', '--rm', '--network', 'none', image],
        ...['sh', '-c', 'trap "echo heard; exit 6" TERM; echo up; while :; do sleep 0.1; done'],
      ]);
      await running.says('up');
      running.child.kill('SIGTERM');
      assert.equal(output(await running.outcome, 6), 'up\nheard');
    });

    test('run -d, ps, logs, exec, stop, start, wait, kill, rm', async () => {
      const script = 'trap "echo bye; exit 5" TERM; echo up; echo low >&2; while :; do sleep 0.1; done';
      const id = output(await call('run', '-d', '--name', 'life', '--network', 'none', image, 'sh', '-c', script));
      assert.match(id, /^[0-9a-f]{64}$/);
      const [row] = rows(output(await call('ps'))).filter((one) => one['NAMES'] === 'life');
      assert.equal(row?.['CONTAINER ID'], id.slice(0, 12));
      assert.match(row?.['STATUS'] ?? '', /^Up /);
      await eventually(async () => assert.equal(output(await call('logs', 'life')), 'up'));
      assert.equal((await call('logs', 'life')).stderr, 'low\n');
      assert.equal(output(await call('exec', 'life', 'sh', '-c', 'echo in; exit 9'), 9), 'in');
      assert.equal(output(await harbour.guests[guest](['exec', '-i', 'life', 'cat'], { input: 'more' })), 'more');
      const waiting = harbour.guests.start(guest, ['wait', 'life']);
      assert.equal(output(await call('stop', 'life')), 'life');
      assert.equal(output(await waiting.outcome), '5');
      const [stopped] = rows(output(await call('ps', '-a'))).filter((one) => one['NAMES'] === 'life');
      assert.match(stopped?.['STATUS'] ?? '', /^Exited \(5\) /);
      assert.equal(output(await call('logs', '--tail', '1', 'life')), 'bye');
      output(await call('start', 'life'));
      assert.equal(output(await call('inspect', '--format', '{{.State.Status}}', 'life')), 'running');
      output(await call('kill', 'life'));
      assert.equal(output(await call('wait', 'life')), '137');
      assert.equal(output(await call('rm', 'life')), 'life');
      assert.ok(!(await names()).includes('life'));
    });

    test('logs -f follows to the end', async () => {
      output(
        await call(
          'run',
          '-d',
          '--name',
          'told',
          '--network',
          'none',
          image,
          'sh',
          '-c',
          'for i in 1 2 3 4 5; do echo line $i; sleep 0.2; done',
        ),
      );
      assert.equal(output(await call('logs', '-f', 'told')), 'line 1\nline 2\nline 3\nline 4\nline 5');
      output(await call('rm', '-f', 'told'));
    });

    test('a container on the default network has an address and reaches its gateway', async () => {
      const script = 'ip -4 -o addr show eth0; ip route | grep default';
      const text = output(await call('run', '--rm', image, 'sh', '-c', script));
      assert.match(text, /inet \d+\.\d+\.\d+\.\d+\/\d+/);
      assert.match(text, /default via /);
    });

    test("a container on the host's network sees the host's interfaces, one without any only loopback", async () => {
      const seen = async (network: string): Promise<string[]> =>
        output(await call('run', '--rm', '--network', network, image, 'ls', '/sys/class/net')).split(/\s+/);
      assert.deepEqual(await seen('none'), ['lo']);
      assert.ok((await seen('host')).includes('lo'));
    });

    test('125, 126 and 127 mean what Docker means by them', async () => {
      const none = ['run', '--rm', '--network', 'none'];
      refusal(
        await call('run', '--rm', image.replace('busybox:latest', 'none:1'), 'true'),
        /none:1.*(not found|manifest unknown)/,
        125,
      );
      refusal(await call(...none, image, '/etc/passwd'), /permission denied/, 126);
      refusal(await call(...none, image, '/bin/absent'), /(no such file or directory|not found)/, 127);
      output(await call('run', '-d', '--name', 'twice', '--network', 'none', image, 'sleep', '60'));
      refusal(
        await call('run', '-d', '--name', 'twice', '--network', 'none', image, 'sleep', '60'),
        /"\/twice" is already in use/,
        125,
      );
      output(await call('rm', '-f', 'twice'));
      assert.deepEqual(await names(), []);
    });

    test('what cannot be is refused in one line that names it', async () => {
      refusal(await call('pull', 'NOT A REFERENCE'), /invalid reference format/);
      refusal(await call('pull', '127.0.0.1:1/x:1'), /127\.0\.0\.1:1.*connection refused/);
      refusal(await call('stop', 'ghost'), /No such container: ghost/i);
      refusal(await call('rmi', 'ghost:1'), /No such image: ghost:1/i);
    });

    test('rmi refuses an image in use, and removes it afterwards', async () => {
      output(await call('run', '-d', '--name', 'user', '--network', 'none', image, 'sleep', '60'));
      refusal(await call('rmi', image), /conflict/);
      output(await call('rm', '-f', 'user'));
      assert.match(output(await call('rmi', image)), /Untagged: |Deleted: /);
      assert.equal(output(await call('images', '-q')), '');
      output(await call('pull', image));
    });
  });
}
