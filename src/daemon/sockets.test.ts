import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { groupId, openSocket } from './sockets.ts';

const owner = { uid: process.getuid!(), gid: process.getgid!() };

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'hako-sockets-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

async function listen(t: TestContext, path: string): Promise<Server> {
  const server = createServer().listen(path);
  t.after(() => server.close());
  await once(server, 'listening');
  return server;
}

test('a socket opens for owner and group only, and its directory is made', async (t) => {
  const path = join(directory(t), 'deep', 'er', 'x.sock');
  const before = process.umask();
  await openSocket(path, owner, (at) => listen(t, at));
  assert.equal(statSync(path).mode & 0o777, 0o660);
  assert.equal(process.umask(), before);
});

test('a socket that a dead process left is replaced', async (t) => {
  const path = join(directory(t), 'x.sock');
  const leave = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', leave]);
  assert.ok(statSync(path).isSocket());
  await openSocket(path, owner, (at) => listen(t, at));
});

test('a socket that someone answers at is refused, and goes on answering', async (t) => {
  const path = join(directory(t), 'x.sock');
  const first = await listen(t, path);
  await assert.rejects(
    openSocket(path, owner, (at) => listen(t, at)),
    { code: 'failed-precondition', message: /another process is listening/ },
  );
  assert.ok(first.listening && statSync(path).isSocket());
});

test('a file in the place of a socket is refused and kept', async (t) => {
  const path = join(directory(t), 'x.sock');
  writeFileSync(path, 'precious');
  await assert.rejects(
    openSocket(path, owner, (at) => listen(t, at)),
    { code: 'failed-precondition', message: /no socket/ },
  );
  assert.equal(statSync(path).size, 8);
});

test('a path that is too long is refused in words', async (t) => {
  const path = join(directory(t), 'x'.repeat(120));
  await assert.rejects(
    openSocket(path, owner, (at) => listen(t, at)),
    { code: 'invalid-argument', message: /longer than 107 bytes/ },
  );
});

test('a group is found by its name, and a missing one names the remedy', (t) => {
  const file = join(directory(t), 'group');
  writeFileSync(file, 'root:x:0:\ndocker:x:998:me\n');
  assert.equal(groupId('docker', file), 998);
  assert.throws(() => groupId('dock', file), { code: 'invalid-argument', message: /groupadd/ });
});
