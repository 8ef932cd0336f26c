// kill -9 of the daemon while containers run.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openHarbour, openRegistry, type Harbour } from './support/daemon.ts';
import { eventually, output } from './support/expect.ts';
import { noContainers } from './support/machine.ts';

describe('a daemon that is killed', { skip: noContainers('ctr', 'docker') }, () => {
  let harbour: Harbour;
  let image: string;
  let dir: string;
  const undo = new AsyncDisposableStack();

  after(() => undo.disposeAsync());
  before(async () => {
    const registry = await openRegistry(undo);
    harbour = await openHarbour(undo);
    image = registry.busybox;
    dir = undo.adopt(mkdtempSync(join(tmpdir(), 'hako-count-')), (path) => rmSync(path, { recursive: true }));
    output(await harbour.guests.ctr(['images', 'pull', '--plain-http', image]));
  });

  /** Counts to standard output and to a file until the file `stop` is there, then ends with 42. */
  const counting = (name: string): string[] => [
    'sh',
    '-c',
    `i=0; while [ ! -e /count/${name}.stop ]; do i=$((i+1)); echo $i; echo $i >>/count/${name}; sleep 0.02; done; exit 42`,
  ];
  const counted = (name: string): string[] => readFileSync(join(dir, name), 'utf8').trimEnd().split('\n');

  test('a container counts on through it, and its log, list, exit code and attach go on', async () => {
    const { daemon, guests } = harbour;
    output(
      await guests.docker([
        'run',
        '-d',
        '--name',
        'docks',
        '--network',
        'none',
        '-v',
        `${dir}:/count`,
        image,
        ...counting('docks'),
      ]),
    );
    const mount = `type=bind,src=${dir},dst=/count,options=rbind:rw`;
    output(await guests.ctr(['run', '-d', '--mount', mount, image, 'rails', ...counting('rails')]));
    await eventually(() => assert.ok(counted('docks').length > 10 && counted('rails').length > 10));

    await daemon.kill();
    const before = [counted('docks').length, counted('rails').length];
    await eventually(() =>
      assert.ok(counted('docks').length > before[0]! + 10 && counted('rails').length > before[1]! + 10),
    );
    await daemon.start();

    assert.match(output(await guests.docker(['ps', '--format', '{{.Names}}'])), /docks/);
    assert.match(output(await guests.ctr(['tasks', 'ls'])), /rails +\d+ +RUNNING/);
    const follower = guests.start('docker', ['logs', '-f', 'docks']);
    const attached = guests.start('ctr', ['tasks', 'attach', 'rails']);
    await attached.says(/\d+\n/);
    for (const name of ['docks', 'rails']) {
      output(await guests.docker(['exec', name, 'touch', `/count/${name}.stop`]));
    }
    assert.equal(output(await guests.docker(['wait', 'docks'])), '42');
    // Not a line is lost, and none is there twice.
    assert.deepEqual(output(await follower.outcome).split('\n'), counted('docks'));
    const { code, stdout } = await attached.outcome;
    assert.equal(code, 42);
    assert.equal(stdout.trimEnd().split('\n').at(-1), counted('rails').at(-1));
    output(await guests.docker(['rm', 'docks']));
    // The end of `ctr tasks attach` removes the task.
    await guests.ctr(['tasks', 'rm', 'rails']);
    output(await guests.ctr(['containers', 'rm', 'rails']));
  });

  test('a container that ends meanwhile has ended with its own exit code', async () => {
    const { daemon, guests } = harbour;
    output(
      await guests.docker([
        'run',
        '-d',
        '--name',
        'brief',
        '--network',
        'none',
        image,
        'sh',
        '-c',
        'sleep 1; echo done; exit 23',
      ]),
    );
    await daemon.kill();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await daemon.start();
    assert.equal(output(await guests.docker(['wait', 'brief'])), '23');
    assert.equal(output(await guests.docker(['logs', 'brief'])), 'done');
    output(await guests.docker(['rm', 'brief']));
  });

  test('a kind stop leaves containers running too', async () => {
    const { daemon, guests } = harbour;
    output(await guests.docker(['run', '-d', '--name', 'stays', '--network', 'none', image, 'sleep', '600']));
    const pid = output(await guests.docker(['inspect', '-f', '{{.State.Pid}}', 'stays']));
    assert.equal(await daemon.stop(), 0, daemon.log());
    process.kill(Number(pid), 0);
    await daemon.start();
    assert.equal(
      output(await guests.docker(['inspect', '-f', '{{.State.Pid}} {{.State.Running}}', 'stays'])),
      `${pid} true`,
    );
    output(await guests.docker(['rm', '-f', 'stays']));
  });

  test('a pull that was cut off by it leaves nothing half-made, and works the next time', async () => {
    const { daemon, guests } = harbour;
    output(await guests.docker(['rmi', image]));
    const pulling = guests.start('docker', ['pull', image]);
    await daemon.kill();
    await pulling.outcome;
    await daemon.start();
    output(await guests.docker(['pull', image]));
    assert.equal(output(await guests.docker(['run', '--rm', '--network', 'none', image, 'echo', 'whole'])), 'whole');
  });
});
