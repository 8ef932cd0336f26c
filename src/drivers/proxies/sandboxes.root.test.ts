import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { specOf } from '#core/suites/runtime-box.ts';
import { sandboxerSuite } from '#core/suites/sandboxer.ts';
import { openHarbour, type Harbour } from '../../../test/support/daemon.ts';
import { which } from '../../../test/support/machine.ts';
import { SandboxProxy } from './sandboxes.ts';

const undo = new AsyncDisposableStack();
let harbour: Harbour;
let tree: string;
before(async () => {
  harbour = await openHarbour(undo);
  tree = undo.adopt(mkdtempSync(join(tmpdir(), 'hs-')), (made) => rmSync(made, { recursive: true }));
  for (const name of ['bin', 'proc', 'dev', 'etc']) mkdirSync(join(tree, name));
  copyFileSync(which('busybox') ?? assert.fail('no busybox'), join(tree, 'bin/busybox'));
  for (const applet of ['sh', 'sleep', 'usleep']) symlinkSync('busybox', join(tree, 'bin', applet));
});
after(() => undo.disposeAsync());

/** Before another daemon, which knows the sandboxer by the proxy's name. */
const open = (): SandboxProxy => new SandboxProxy({ name: 'shim', address: harbour.daemon.address });

sandboxerSuite('SandboxProxy before another daemon', async () => {
  const sandboxer = open();
  const rootfs = [{ type: 'bind', source: tree, options: ['rbind', 'ro'] }];
  return { sandboxer, rootfs, [Symbol.asyncDispose]: async () => sandboxer.close() };
});

test('who waits goes on when the other side is killed and comes back', async () => {
  const proxy = open();
  const ref = { namespace: 'suite', id: 'long' };
  const never = new AbortController().signal;
  const sandbox = { id: 'long', runtime: { name: 'io.containerd.runc.v2' } };
  const value = Buffer.from(JSON.stringify(specOf('long', ['sleep', '1000'], false)));
  const rootfs = [{ type: 'bind', source: tree, options: ['rbind', 'ro'] }];
  const spec = { typeUrl: 'spec', value };
  await proxy.create({ namespace: 'suite', sandbox: { ...sandbox, spec }, rootfs, netns: '', annotations: {} }, never);
  await proxy.start(ref, never);
  const waiting = proxy.wait(ref, never);
  await sleep(100);
  await harbour.daemon.kill();
  await harbour.daemon.start();
  assert.equal((await proxy.status(ref, false, never)).state, 'SANDBOX_READY');
  await proxy.stop(ref, 0, never);
  assert.equal((await waiting).status, 137);
  await proxy.shutdown(ref, never);
  proxy.close();
});
