import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { never, specOf } from '#core/suites/runtime-box.ts';
import { sandboxerSuite } from '#core/suites/sandboxer.ts';
import { leftovers, makeHouse, type House } from './test-house.ts';

sandboxerSuite('ShimSandboxer', async () => {
  const house = await makeHouse();
  const { sandboxer } = house.runtime;
  return {
    sandboxer,
    rootfs: house.rootfs,
    [Symbol.asyncDispose]: async () => {
      assert.deepEqual([...leftovers(house), ...bundles(house)], []);
      await house[Symbol.asyncDispose]();
    },
  };
});

const bundles = (house: House): string[] => {
  const directory = path.join(house.state, 'sandboxes');
  if (!existsSync(directory)) return [];
  return readdirSync(directory).flatMap((namespace) => readdirSync(path.join(directory, namespace)));
};

const namespace = 'suite';
const runtime = { name: 'io.containerd.runc.v2' };

describe('sandboxes over crashes', () => {
  let house: House;
  before(async () => {
    house = await makeHouse();
  });
  after(() => house[Symbol.asyncDispose]());

  const request = (id: string, args?: readonly string[]) => ({
    namespace,
    sandbox: {
      id,
      runtime,
      ...(args && { spec: { typeUrl: 's', value: Buffer.from(JSON.stringify(specOf(id, args, false))) } }),
    },
    rootfs: args === undefined ? [] : house.rootfs,
    netns: '',
    annotations: {},
  });

  test('kill -9 of the shim, and another daemon, find both kinds as they were, and who waits goes on', async () => {
    const { sandboxer } = house.runtime;
    const refs = { plain: { namespace, id: 'plain' }, box: { namespace, id: 'box' } };
    await sandboxer.create(request('plain'), never);
    await sandboxer.create(request('box', ['sleep', '1000']), never);
    await sandboxer.start(refs.plain, never);
    const { pid } = await sandboxer.start(refs.box, never);
    const waiting = [sandboxer.wait(refs.plain, never), sandboxer.wait(refs.box, never)];
    await sleep(100);
    process.kill(house.pidOf('serve')!, 'SIGKILL');
    const next = house.restart().sandboxer;
    assert.equal((await next.status(refs.plain, false, never)).state, 'SANDBOX_READY');
    const status = await next.status(refs.box, false, never);
    assert.deepEqual([status.state, status.pid], ['SANDBOX_READY', pid]);
    await next.reconcile(() => true, never);
    await next.stop(refs.plain, 0, never);
    await next.stop(refs.box, 0, never);
    assert.deepEqual(
      (await Promise.all(waiting)).map((exit) => exit.status),
      [0, 137],
    );
    for (const ref of Object.values(refs)) await next.shutdown(ref, never);
    assert.deepEqual([...leftovers(house), ...bundles(house)], []);
  });

  test('a shim that dies while it makes a sandbox leaves it whole, or nothing of it', async () => {
    const { sandboxer } = house.runtime;
    const states: string[] = [];
    for (let pause = 0; pause < 120; pause += 15) {
      const ref = { namespace, id: `cut-${pause}` };
      await house.runtime.prewarm(never);
      const shim = house.pidOf('serve');
      const making = sandboxer.create(request(ref.id, ['sleep', '1000']), never).catch((error: unknown) => error);
      await sleep(pause);
      if (shim !== undefined) process.kill(shim, 'SIGKILL');
      const failed = await making;
      const { state } = await sandboxer.status(ref, false, never);
      states.push(state);
      assert.equal(state, failed === undefined ? 'SANDBOX_NOTREADY' : '', `after ${pause} ms: ${String(failed)}`);
      if (state !== '') await sandboxer.shutdown(ref, never);
      assert.deepEqual([...leftovers(house), ...bundles(house)], [], `after ${pause} ms`);
    }
    assert.ok(states.includes(''), 'no kill came in time');
  });

  test('reconcile() removes what was half made and what nobody knows, and keeps processes', async () => {
    const { sandboxer } = house.runtime;
    mkdirSync(path.join(house.state, 'sandboxes', namespace, 'half', 'rootfs'), { recursive: true });
    await sandboxer.create(request('known'), never);
    await sandboxer.create(request('stray'), never);
    await sandboxer.create(request('alive', ['sleep', '1000']), never);
    await sandboxer.reconcile(({ id }) => id === 'known', never);
    assert.deepEqual(bundles(house).toSorted(), ['alive', 'known']);
    for (const id of ['alive', 'known']) await sandboxer.shutdown({ namespace, id }, never);
    assert.deepEqual([...leftovers(house), ...bundles(house)], []);
  });
});
