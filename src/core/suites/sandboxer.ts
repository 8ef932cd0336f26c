import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Mount } from '../mounts.ts';
import type { CreateSandbox, Sandboxer, SandboxRef } from '../sandboxes.ts';
import { never, specOf } from './runtime-box.ts';

/** A sandboxer to test, without sandboxes at first. */
export interface SandboxerUnderTest extends AsyncDisposable {
  readonly sandboxer: Sandboxer;
  /** A tree with a static busybox and links to its applets in `/bin`. */
  readonly rootfs: readonly Mount[];
}

const namespace = 'suite';
const runtime = { name: 'io.containerd.runc.v2' };
const specType = 'types.containerd.io/opencontainers/runtime-spec/1/Spec';
let count = 0;

function plan(more: Partial<CreateSandbox> = {}): { ref: SandboxRef; request: CreateSandbox } {
  const id = `pod-${process.pid}-${count++}`;
  const request = { namespace, sandbox: { id, runtime }, rootfs: [], netns: '', annotations: {}, ...more };
  return { ref: { namespace, id: request.sandbox.id }, request };
}

/** One whose spec names a process. */
function running(rootfs: readonly Mount[], args: readonly string[]): { ref: SandboxRef; request: CreateSandbox } {
  const { ref, request } = plan({ rootfs });
  const value = Buffer.from(JSON.stringify(specOf(ref.id, args, false)));
  return { ref, request: { ...request, sandbox: { ...request.sandbox, spec: { typeUrl: specType, value } } } };
}

/** Registers what every Sandboxer must do. Needs root, and runc. */
export function sandboxerSuite(name: string, make: () => Promise<SandboxerUnderTest>): void {
  describe(`${name} keeps the contract of a sandboxer`, () => {
    let house: SandboxerUnderTest;
    before(async () => {
      house = await make();
    });
    after(() => house[Symbol.asyncDispose]());

    ghosts(() => house.sandboxer);
    names(() => house.sandboxer);
    processes(() => house);
  });
}

function ghosts(at: () => Sandboxer): void {
  test('a sandbox that is not there cannot be asked for, but can be stopped', async () => {
    const ref = { namespace, id: 'ghost' };
    const missing = { code: 'not-found' };
    await assert.rejects(at().wait(ref, never), missing);
    await assert.rejects(at().platform(ref, never), missing);
    await assert.rejects(at().metrics(ref, never), missing);
    await assert.rejects(at().shutdown(ref, never), missing);
    await assert.rejects(at().start(ref, never));
    await at().stop(ref, 0, never);
    const { pid, state } = await at().status(ref, true, never);
    assert.deepEqual([pid, state], [0, '']);
  });

  test('what cannot be made leaves nothing behind', async () => {
    const bad = plan({ sandbox: { id: '../up', runtime } });
    await assert.rejects(at().create(bad.request, never), { code: 'invalid-argument' });
    const { ref, request } = plan({ sandbox: { id: 'odd', runtime: { name: 'io.containerd.nothing.v2' } } });
    await assert.rejects(at().create(request, never), /nothing/);
    assert.equal((await at().status(ref, false, never)).state, '');
    await at().create({ ...request, sandbox: { id: 'odd', runtime } }, never);
    await at().shutdown(ref, never);
  });
}

function names(at: () => Sandboxer): void {
  test('a sandbox without a process is a state: made, ready, ended, gone', async () => {
    const { ref, request } = plan();
    await at().create(request, never);
    await assert.rejects(at().create(request, never), { code: 'already-exists' });
    assert.equal((await at().status(ref, false, never)).state, 'SANDBOX_NOTREADY');
    const started = await at().start(ref, never);
    assert.equal(started.pid, 0);
    assert.match(started.address, /^ttrpc\+unix:\/\/\//);
    await assert.rejects(at().start(ref, never), { code: 'failed-precondition' });
    const ready = await at().status(ref, true, never);
    assert.equal(ready.state, 'SANDBOX_READY');
    assert.equal(ready.info['state'], 'ready');
    assert.equal(ready.exitedAt?.getTime(), 0);
    assert.deepEqual(ready.createdAt, started.createdAt);
    assert.equal((await at().platform(ref, never)).os, 'linux');
    const waiting = at().wait(ref, never);
    assert.equal(await Promise.race([waiting, sleep(100, 'waits')]), 'waits');
    await at().stop(ref, 5, never);
    await at().stop(ref, 0, never);
    assert.equal((await waiting).status, 0);
    assert.deepEqual(await at().wait(ref, never), await waiting);
    const ended = await at().status(ref, false, never);
    assert.equal(ended.state, 'SANDBOX_NOTREADY');
    assert.deepEqual(ended.exitedAt, (await waiting).at);
    await at().shutdown(ref, never);
    assert.equal((await at().status(ref, false, never)).state, '');
    await assert.rejects(at().shutdown(ref, never), { code: 'not-found' });
  });

  test('sandboxes of two namespaces have nothing to do with each other', async () => {
    const { ref, request } = plan();
    const far = { ...ref, namespace: 'other' };
    await at().create(request, never);
    await at().create({ ...request, namespace: 'other' }, never);
    await at().shutdown(ref, never);
    assert.equal((await at().status(far, false, never)).state, 'SANDBOX_NOTREADY');
    await at().shutdown(far, never);
  });

  test('update() takes what a sandbox has become', async () => {
    const { ref, request } = plan();
    await at().create(request, never);
    await at().update(ref, { ...request.sandbox, labels: { a: 'b' } }, ['labels'], never);
    await at().shutdown(ref, never);
  });
}

function processes(at: () => SandboxerUnderTest): void {
  const trap = 'trap "exit 7" TERM; echo; while :; do usleep 10000; done';

  test('a sandbox is the process that its spec names, and ends with the status of it', async () => {
    const { sandboxer, rootfs } = at();
    const { ref, request } = running(rootfs, ['sh', '-c', trap]);
    await sandboxer.create(request, never);
    const { pid } = await sandboxer.start(ref, never);
    assert.ok(pid > 0);
    assert.equal((await sandboxer.status(ref, false, never)).pid, pid);
    const metric = await sandboxer.metrics(ref, never);
    assert.equal(metric?.id, ref.id);
    assert.ok((metric.data?.value.length ?? 0) > 0);
    const waiting = sandboxer.wait(ref, never);
    // Its handler has to be there before.
    await sleep(300);
    await sandboxer.stop(ref, 10, never);
    assert.equal((await waiting).status, 7);
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
    assert.equal((await sandboxer.status(ref, false, never)).state, 'SANDBOX_NOTREADY');
    await sandboxer.shutdown(ref, never);
  });

  test('a process that does not want to end is killed, and shutdown() does so at once', async () => {
    const { sandboxer, rootfs } = at();
    const stubborn = running(rootfs, ['sh', '-c', 'trap "" TERM; while :; do usleep 10000; done']);
    await sandboxer.create(stubborn.request, never);
    const { pid: stubbornPid } = await sandboxer.start(stubborn.ref, never);
    await untilIgnored(stubbornPid, constants.signals.SIGTERM);
    await sandboxer.stop(stubborn.ref, 1, never);
    assert.equal((await sandboxer.wait(stubborn.ref, never)).status, 137);
    await sandboxer.shutdown(stubborn.ref, never);
    const lively = running(rootfs, ['sleep', '1000']);
    await sandboxer.create(lively.request, never);
    const { pid } = await sandboxer.start(lively.ref, never);
    const waiting = sandboxer.wait(lively.ref, never);
    await sandboxer.shutdown(lively.ref, never);
    assert.equal((await waiting).status, 137);
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  });

  test('a process that cannot be made leaves no sandbox', async () => {
    const { sandboxer, rootfs } = at();
    const { ref, request } = running(rootfs, ['/nowhere']);
    await assert.rejects(async () => {
      await sandboxer.create(request, never);
      await sandboxer.start(ref, never);
    }, /nowhere/);
    await sandboxer.shutdown(ref, never).catch(() => {});
    assert.equal((await sandboxer.status(ref, false, never)).state, '');
  });
}

/** Waits until a process has said that it does not care for a signal: proc_pid_status(5), SigIgn. */
async function untilIgnored(pid: number, signal: number): Promise<void> {
  const ignores = (): boolean => {
    const [, mask = '0'] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
  };
  for (let wait = 0; !ignores() && wait < 500; wait++) await sleep(10);
}
