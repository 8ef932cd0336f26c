import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { elsewhere, openHarbour } from './support/daemon.ts';
import { which } from './support/machine.ts';
import { deadly, openSession, probes, run, type Probe, type Seen } from './support/wire-probe.ts';

/** What we do on purpose otherwise than any containerd, with the reason. */
const ours: Readonly<Record<string, string>> = {
  'path without a slash in front': 'the HTTP/2 library resets such a stream before anybody sees it',
  'deadline of a stream passes': 'the caller is told of its deadline in trailers, whichever library it uses',
  'a stream with a wrong filter': 'the message says what is wrong with the filter, the code is the same',
  'a stream with an error': 'the message names the digest in another place, the code is the same',
  subscribing: 'headers come at once, so that a caller knows that it misses nothing from then on',
  'subscribing with a wrong filter': 'the message says what is wrong with the filter, the code is the same',
  'a two-way stream with nothing': 'a caller who leaves before the first message is told so',
};

/** Where containerd 2.1 does not do what 1.6 does: what 2.1 was seen to do, and we do. */
const newer: Readonly<Record<string, Readonly<Record<string, string | undefined>>>> = {
  'content type in capitals': { ':status': '415', 'grpc-status': '3' },
  'content type of another name': { ':status': '415', 'grpc-status': '3' },
  'content type grpc-web': { ':status': '415', 'grpc-status': '3' },
  'content type json': { ':status': '415', 'grpc-status': '3' },
  'no content type': { ':status': '415', 'grpc-status': '3' },
  'method PUT': { ':status': '405', 'grpc-status': '13' },
  'method GET': { ':status': '405', 'grpc-status': '13' },
  'path without a method': { 'grpc-status': '12' },
  'path of one slash': { 'grpc-status': '12' },
  'gzip named and used': { 'grpc-encoding': 'gzip', 'grpc-status': undefined },
  'gzip named, not used': { 'grpc-encoding': 'gzip', 'grpc-status': undefined },
  'half a prefix': { 'grpc-status': '2', 'grpc-message': 'EOF' },
  'bytes that are no message': { 'grpc-status': '13' },
  'field number 0': { 'grpc-status': '13' },
  'text that is not UTF-8': {
    'grpc-status': '13',
    'grpc-message': 'grpc: error unmarshalling request: string field contains invalid UTF-8',
  },
  'a map key that is not UTF-8': { 'grpc-status': '13' },
  'a length beyond the end': { 'grpc-status': '13' },
  'wrong wire type': { 'grpc-status': undefined },
  'a group without an end': { 'grpc-status': '13' },
  'deadline of no time': { 'grpc-status': '4' },
  'deadline of 9 digits': { ':status': '400', 'grpc-status': '13' },
  'deadline without a unit': { ':status': '400', 'grpc-status': '13' },
  'deadline with a wrong unit': { ':status': '400', 'grpc-status': '13' },
  'deadline below zero': { ':status': '400', 'grpc-status': '13' },
  'deadline that is empty': { ':status': '400', 'grpc-status': '13' },
  'an error with quotes and more': { 'grpc-status': '5' },
  'forwarding without a time': { 'grpc-status': undefined },
  'binary metadata that is none': { ':status': '400', 'grpc-status': '13' },
  'health listed': { 'grpc-status': undefined },
  'plugin info of nothing': { 'grpc-status': '5', 'grpc-message': 'plugin a.b not found: not found' },
};

async function see(socket: string, probe: Probe): Promise<Seen> {
  const session = openSession(socket);
  try {
    return await run(session, probe);
  } finally {
    session.destroy();
  }
}

/** Versions differ by nature; of a message it counts that it came. */
const comparable = (seen: Seen): unknown => ({ ...seen, messages: seen.messages.length });

/** Starts a containerd with nothing but its services, until `undo`. */
async function reference(undo: AsyncDisposableStack): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'hc-'));
  undo.defer(() => rm(home, { recursive: true, force: true }));
  const address = join(home, 'c.sock');
  const off = ['grpc.v1.cri', 'internal.v1.opt', 'internal.v1.restart'].map((name) => `"io.containerd.${name}"`);
  await writeFile(
    join(home, 'config.toml'),
    `version = 2\nroot = "${home}/root"\nstate = "${home}/state"\ndisabled_plugins = [${off.join(', ')}]\n` +
      `[grpc]\naddress = "${address}"\n`,
  );
  const child = spawn('containerd', ['--config', join(home, 'config.toml')], { stdio: 'ignore' });
  const gone = new Promise((resolve) => child.once('close', resolve));
  undo.defer(async () => {
    child.kill('SIGTERM');
    await gone;
  });
  const [ready] = probes;
  for (let attempt = 0; attempt < 100; attempt++) {
    if (ready !== undefined && (await see(address, ready)).messages.length === 1) return address;
    await sleep(100);
  }
  throw new Error('containerd did not start');
}

const skip =
  elsewhere !== undefined
    ? 'needs a daemon of its own'
    : process.getuid?.() !== 0
      ? 'needs root'
      : which('containerd') === undefined && 'the program "containerd" is missing';

test('calls as they should be and as they should not are answered as by containerd', { skip }, async (t) => {
  await using undo = new AsyncDisposableStack();
  const { daemon } = await openHarbour(undo);
  const containerd = await reference(undo);
  for (const probe of probes) {
    if (probe.name in ours) continue;
    await t.test(probe.name, async () => {
      const seen = await see(daemon.address, probe);
      const expected = newer[probe.name];
      if (expected === undefined) {
        assert.deepEqual(comparable(seen), comparable(await see(containerd, probe)));
        return;
      }
      for (const [name, value] of Object.entries(expected)) assert.equal(seen.headers[name], value, name);
      // Without a status in the headers it has gone well.
      if (seen.headers['grpc-status'] === undefined) assert.equal(seen.trailers['grpc-status'], '0');
    });
  }
});

test('what we do otherwise on purpose still has the same code', { skip }, async () => {
  await using undo = new AsyncDisposableStack();
  const { daemon } = await openHarbour(undo);
  const status = async (name: string): Promise<string | undefined> => {
    const probe = probes.find((one) => one.name === name);
    assert.ok(probe, name);
    const { headers, trailers } = await see(daemon.address, probe);
    return headers['grpc-status'] ?? trailers['grpc-status'];
  };
  assert.equal(await status('a stream with a wrong filter'), '3');
  assert.equal(await status('a stream with an error'), '3');
  assert.equal(await status('subscribing with a wrong filter'), '2');
  assert.equal(await status('deadline of a stream passes'), '4');
  assert.equal(await status('subscribing'), undefined);
});

test('what ends a containerd is an error for that call alone', { skip }, async () => {
  await using undo = new AsyncDisposableStack();
  const { daemon } = await openHarbour(undo);
  const statuses: (string | undefined)[] = [];
  for (const probe of deadly) {
    const { headers, trailers } = await see(daemon.address, probe);
    statuses.push(headers['grpc-status'] ?? trailers['grpc-status']);
  }
  assert.deepEqual(statuses, ['3', '0']);
});
