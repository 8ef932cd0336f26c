// What came in at one door is there at the other.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openHarbour, openRegistry, type Harbour } from './support/daemon.ts';
import { eventually, output } from './support/expect.ts';
import type { Outcome } from './support/guests.ts';
import { noContainers } from './support/machine.ts';

describe('the doors share one state', { skip: noContainers('ctr', 'docker') }, () => {
  let harbour: Harbour;
  let image: string;
  const undo = new AsyncDisposableStack();
  const ctr = (...args: string[]): Promise<Outcome> => harbour.guests.ctr(args);
  const docker = (...args: string[]): Promise<Outcome> => harbour.guests.docker(args);
  const loop = ['sh', '-c', 'echo hello from within; while :; do sleep 0.1; done'];

  after(() => undo.disposeAsync());
  before(async () => {
    const registry = await openRegistry(undo);
    harbour = await openHarbour(undo);
    image = registry.busybox;
    output(await ctr('images', 'pull', '--plain-http', image));
  });

  test("an image that ctr pulled is docker's, and the other way round", async () => {
    assert.ok(output(await docker('images', '--format', '{{.Repository}}:{{.Tag}}')).includes(image));
    output(await docker('tag', image, 'example.com/mine:1'));
    assert.ok(output(await ctr('images', 'ls', '-q')).includes('example.com/mine:1'));
    output(await ctr('images', 'rm', 'example.com/mine:1'));
    assert.ok(!output(await docker('images')).includes('example.com/mine'));
  });

  test("a container of ctr is listed, logged, exec'd into and killed by docker", async () => {
    output(await ctr('run', '-d', image, 'from-ctr', ...loop));
    assert.match(output(await docker('ps', '--format', '{{.Names}} {{.Image}}')), new RegExp(`from-ctr ${image}`));
    await eventually(async () => assert.equal(output(await docker('logs', 'from-ctr')), 'hello from within'));
    assert.equal(output(await docker('exec', 'from-ctr', 'echo', 'in')), 'in');
    output(await docker('kill', 'from-ctr'));
    await eventually(async () => assert.match(output(await ctr('tasks', 'ls')), /from-ctr +\d+ +STOPPED/));
    output(await ctr('tasks', 'rm', 'from-ctr'));
    output(await ctr('containers', 'rm', 'from-ctr'));
    assert.ok(!output(await docker('ps', '-a')).includes('from-ctr'));
  });

  test("a container of docker is listed, attached to, exec'd into and killed by ctr", async () => {
    const id = output(await docker('run', '-d', '--name', 'from-docker', '--network', 'none', image, ...loop));
    assert.ok(
      output(await ctr('containers', 'ls', '-q'))
        .split('\n')
        .includes(id),
    );
    const attached = harbour.guests.start('ctr', ['tasks', 'attach', id]);
    assert.equal(output(await ctr('tasks', 'exec', '--exec-id', 'e', id, 'echo', 'in')), 'in');
    output(await ctr('tasks', 'kill', '-s', 'SIGKILL', id));
    assert.equal((await attached.outcome).code, 137);
    await eventually(async () =>
      assert.match(
        output(await docker('ps', '-a', '--format', '{{.Names}} {{.Status}}')),
        /from-docker Exited \(137\)/,
      ),
    );
    output(await docker('rm', 'from-docker'));
    assert.ok(!output(await ctr('containers', 'ls', '-q')).includes(id));
  });
});
