import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { silent } from '#base/log.ts';
import type { NetworkRequest } from '#core/network.ts';
import { check, libc } from '#sys/libc.ts';
import { Cni, pluginDirectories } from './cni.ts';
import { CniDriver } from './network.ts';
import { parseSubnet } from './subnets.ts';

// The whole test moves into a network namespace of its own, and the plugins with it: the host's stays as it is. /sys shows
// the network it was mounted in, so it is mounted anew, which nobody else sees either.
const CLONE_NEWNET = 0x40000000;
const CLONE_NEWNS = 0x20000;
const unshare = libc('int unshare(int flags)');
const mount = libc(
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
);
const isRoot = process.getuid?.() === 0;
if (isRoot) {
  check(unshare(CLONE_NEWNET | CLONE_NEWNS), 'unshare', 'network');
  check(mount('none', '/', null, 0x40000 | 0x4000, null), 'mount', '/');
  check(mount('sysfs', '/sys', 'sysfs', 0, null), 'mount', '/sys');
}
const plugins = ['bridge', 'host-local', 'portmap'].every((name) => new Cni().find(name) !== undefined);
const iptables = ['/usr/sbin/iptables', '/sbin/iptables', '/usr/bin/iptables'].some((file) => existsSync(file));
const skip = !isRoot ? 'needs root' : !plugins ? 'the CNI plugins are not installed' : false;

const never = new AbortController().signal;

interface Place extends AsyncDisposable {
  readonly dir: string;
  readonly start: () => Promise<CniDriver>;
}

async function scratch(bridge = 'hakotest'): Promise<Place> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'hako-network-'));
  const end = new AbortController();
  const start = (): Promise<CniDriver> =>
    CniDriver.start({
      root: path.join(dir, 'root'),
      netns: path.join(dir, 'netns'),
      logger: silent,
      signal: end.signal,
      config: { masquerade: true, bridge },
    });
  const [...before] = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes('hako-network-'));
  return {
    dir,
    start,
    [Symbol.asyncDispose]: async () => {
      const driver = await start();
      for (const { namespace, id } of await driver.list()) {
        await driver.detach(namespace, id, never);
        await driver.removeNetns(namespace, id);
      }
      end.abort();
      spawnSync('ip', ['link', 'delete', bridge]);
      const after = readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .filter((line) => line.includes(dir));
      await rm(dir, { recursive: true, force: true });
      assert.deepEqual(after, []);
      assert.deepEqual(before, []);
    },
  };
}

const request = (netns: string, more: Partial<NetworkRequest> = {}): NetworkRequest => ({
  namespace: 'test',
  id: 'box',
  netns,
  network: 'bridge',
  hostname: 'box',
  ports: [],
  ...more,
});

/** Runs a command inside a network namespace. */
function inside(netns: string, ...command: string[]): string {
  const { stdout, stderr, status } = spawnSync('nsenter', [`--net=${netns}`, '--', ...command], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout;
}

const addressFiles = (dir: string): string[] => {
  const place = path.join(dir, 'root/addresses/bridge');
  return existsSync(place) ? readdirSync(place).filter((name) => /^\d/.test(name)) : [];
};

test('a network namespace is made with its loopback up, once, and leaves nothing', { skip }, async () => {
  await using place = await scratch();
  const driver = await place.start();
  const netns = await driver.createNetns('test', 'box', never);
  assert.equal(await driver.createNetns('test', 'box', never), netns);
  assert.match(inside(netns, 'ip', '-o', 'link', 'show', 'lo'), /LOOPBACK,UP/);
  assert.deepEqual(await driver.list(), [{ namespace: 'test', id: 'box' }]);
  await driver.removeNetns('test', 'box');
  await driver.removeNetns('test', 'box');
  assert.deepEqual(await driver.list(), []);
  assert.equal(existsSync(netns), false);
});

test('a container on the bridge has an address, reaches the host, and gives all back', { skip }, async () => {
  await using place = await scratch();
  const driver = await place.start();
  const netns = await driver.createNetns('test', 'box', never);
  const status = await driver.attach(request(netns), never);
  const info = (await driver.networks())[0];
  assert.equal(status.gateway, info?.gateway);
  assert.match(status.macAddress, /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
  assert.match(
    inside(netns, 'ip', '-o', '-4', 'addr', 'show', 'eth0'),
    new RegExp(`${status.ipAddress}/${status.prefixLength}`),
  );
  assert.match(inside(netns, 'ip', 'route'), new RegExp(`default via ${status.gateway}`));
  const server = createServer((socket) => socket.end('hello')).listen(0, status.gateway);
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  assert(typeof address === 'object' && address !== null);
  const script = `require('net').connect(${address.port}, '${status.gateway}').pipe(process.stdout)`;
  const { promise, resolve } = Promise.withResolvers<string>();
  const { spawn } = await import('node:child_process');
  const child = spawn('nsenter', [`--net=${netns}`, '--', process.execPath, '-e', script]);
  let text = '';
  child.stdout.on('data', (data) => (text += String(data)));
  child.once('close', () => resolve(text));
  assert.equal(await promise, 'hello');
  server.close();

  // A restarted daemon knows what is attached.
  const second = await place.start();
  assert.deepEqual(second.status('test', 'box'), status);
  await second.detach('test', 'box', never);
  await second.detach('test', 'box', never);
  assert.equal(second.status('test', 'box'), undefined);
  assert.deepEqual(addressFiles(place.dir), []);
  await second.removeNetns('test', 'box');
});

test('an address is given back when its network namespace is gone, as after a reboot', { skip }, async () => {
  await using place = await scratch();
  const driver = await place.start();
  const netns = await driver.createNetns('test', 'box', never);
  await driver.attach(request(netns), never);
  assert.equal(addressFiles(place.dir).length, 1);
  await driver.removeNetns('test', 'box');
  assert.deepEqual(await driver.list(), [{ namespace: 'test', id: 'box' }]);
  await driver.detach('test', 'box', never);
  assert.deepEqual(addressFiles(place.dir), []);
  assert.deepEqual(await driver.list(), []);
});

test('an attachment that fails keeps nothing', { skip }, async () => {
  await using place = await scratch();
  const driver = await place.start();
  const netns = await driver.createNetns('test', 'box', never);
  await assert.rejects(driver.attach(request('/nowhere/at/all'), never), /CNI plugin "bridge" \(ADD\)/);
  assert.deepEqual(addressFiles(place.dir), []);
  await driver.attach(request(netns), never);
  await assert.rejects(driver.attach(request(netns), never), { code: 'already-exists' });
});

test(
  "a kill while the last plugin works leaves none of that plugin's rules",
  { skip: skip || (new Cni().find('firewall') !== undefined && iptables ? false : 'firewall or iptables is missing') },
  async (t) => {
    await using place = await scratch();
    // Does its work, and never says so: the daemon is as good as killed then.
    const slow = path.join(place.dir, 'plugins');
    const done = path.join(place.dir, 'done');
    await mkdir(slow);
    const script = `#!/bin/sh\n"${new Cni().find('firewall')}" || exit\n[ $CNI_COMMAND = DEL ] && exit\n: >"${done}"\nexec sleep 60\n`;
    await writeFile(path.join(slow, 'firewall'), script, { mode: 0o755 });
    const end = new AbortController();
    const killed = await CniDriver.start({
      root: path.join(place.dir, 'root'),
      netns: path.join(place.dir, 'netns'),
      logger: silent,
      signal: end.signal,
      config: { masquerade: true, bridge: 'hakotest', directories: [slow, ...pluginDirectories] },
    });
    const netns = await killed.createNetns('test', 'box', never);
    const attaching = killed.attach(request(netns), end.signal);
    attaching.catch(() => {});
    while (!existsSync(done)) await Promise.race([attaching, new Promise((resolve) => setTimeout(resolve, 20))]);
    const rules = (): string => spawnSync('iptables', ['-S'], { encoding: 'utf8' }).stdout;
    if (!rules().includes('-A CNI-FORWARD')) t.skip('the firewall plugin makes no rules here');
    const next = await place.start();
    await next.detach('test', 'box', never);
    assert.doesNotMatch(rules(), /-A CNI-FORWARD -[sd]/);
    end.abort();
    await assert.rejects(attaching);
  },
);

test(
  "a published port leads into the container, and is nobody else's",
  { skip: skip || (iptables ? false : 'iptables is not installed') },
  async (t) => {
    await using place = await scratch();
    const driver = await place.start();
    const netns = await driver.createNetns('test', 'box', never);
    const port = { hostIp: '', hostPort: 8080, containerPort: 80, protocol: 'tcp' } as const;
    let status;
    try {
      status = await driver.attach(
        request(netns, { ports: [port, { ...port, hostPort: 0, containerPort: 81 }] }),
        never,
      );
    } catch (error) {
      if (error instanceof Error && /iptables|nf_tables|modprobe/i.test(error.message))
        return t.skip(`iptables does not work here: ${error.message}`);
      throw error;
    }
    assert.equal(status.ports[0]?.hostPort, 8080);
    assert((status.ports[1]?.hostPort ?? 0) >= 32_768);
    const other = await driver.createNetns('test', 'other', never);
    await assert.rejects(
      driver.attach(request(other, { id: 'other', ports: [port] }), never),
      /Bind for 0\.0\.0\.0:8080 failed: port is already allocated/,
    );

    const script = `require('net').createServer((s) => s.end('inside')).listen(80, () => console.log('up'))`;
    const { spawn } = await import('node:child_process');
    const child = spawn('nsenter', [`--net=${netns}`, '--', process.execPath, '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const info = (await driver.networks())[0];
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    let text = '';
    connect(8080, info?.gateway ?? '')
      .on('data', (data) => (text += String(data)))
      .on('error', reject)
      .on('close', () => resolve(text));
    assert.equal(await promise, 'inside');
    child.kill('SIGKILL');
    await driver.detach('test', 'box', never);
    const rules = spawnSync('iptables', ['-t', 'nat', '-S'], { encoding: 'utf8' }).stdout;
    assert.doesNotMatch(rules, /8080/);
  },
);

test('a daemon that ends takes its bridge along, unless a container is on it', { skip }, async () => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'hako-bridge-'));
  const start = async (end: AbortController): Promise<CniDriver> =>
    CniDriver.start({
      root: dir,
      netns: path.join(dir, 'netns'),
      logger: silent,
      signal: end.signal,
      config: { masquerade: true },
    });
  const first = new AbortController();
  const driver = await start(first);
  await driver.attach(request(await driver.createNetns('test', 'box', never)), never);
  const bridge = (await driver.networks())[0]?.bridge ?? '';
  const there = (): boolean => spawnSync('ip', ['link', 'show', bridge]).status === 0;
  first.abort();
  assert.equal(there(), true);
  const second = new AbortController();
  const next = await start(second);
  await next.detach('test', 'box', never);
  await next.removeNetns('test', 'box');
  second.abort();
  assert.equal(there(), false);
  await rm(dir, { recursive: true });
});

test('a second daemon with its own root takes another bridge and another subnet', { skip }, async () => {
  await using place = await scratch('hakotest');
  const first = await place.start();
  const netns = await first.createNetns('test', 'box', never);
  await first.attach(request(netns), never);
  const mine = (await first.networks())[0];
  const dir = await mkdtemp(path.join(os.tmpdir(), 'hako-second-'));
  const end = new AbortController();
  const second = await CniDriver.start({
    root: dir,
    netns: path.join(dir, 'netns'),
    logger: silent,
    signal: end.signal,
    config: { masquerade: true },
  });
  const theirs = (await second.networks())[0];
  assert.notEqual(theirs?.bridge, mine?.bridge);
  assert.notEqual(parseSubnet(theirs?.subnet ?? '').base, parseSubnet(mine?.subnet ?? '').base);
  end.abort();
  await rm(dir, { recursive: true });
});
