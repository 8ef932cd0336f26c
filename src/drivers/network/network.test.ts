import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { PortMapping } from '#core/network.ts';
import { Cni } from './cni.ts';
import { parseNetworkConfig } from './plugin.ts';
import { choosePorts } from './ports.ts';
import { chooseSubnet, formatSubnet, gatewayOf, hostSubnets, overlaps, parseSubnet } from './subnets.ts';

const never = new AbortController().signal;
const call = { command: 'ADD', containerId: 'box', netns: '/x', interfaceName: 'eth0' } as const;

async function plugin(script: string): Promise<{ cni: Cni } & AsyncDisposable> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'hako-cni-'));
  await writeFile(path.join(dir, 'fake'), `#!/bin/sh\n${script}\n`);
  await chmod(path.join(dir, 'fake'), 0o755);
  return { cni: new Cni([dir]), [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

test('a plugin gets its configuration and the call, and its answer is read', async () => {
  await using place = await plugin(
    'read -r config; echo "{\\"cniVersion\\":\\"$CNI_COMMAND $CNI_IFNAME $(echo "$config" | tr -d \\")\\"}"',
  );
  assert.deepEqual(await place.cni.run({ type: 'fake' }, call, never), { cniVersion: 'ADD eth0 {type:fake}' });
});

test("a plugin's error is told in its own words, in one line", async () => {
  await using place = await plugin(
    `cat >/dev/null; printf '{"code":7,"msg":"no luck","details":"line one\\\\nline two"}'; exit 1`,
  );
  await assert.rejects(place.cni.run({ type: 'fake' }, call, never), {
    code: 'unavailable',
    message: 'CNI plugin "fake" (ADD): no luck; line one; line two',
  });
});

test('a missing plugin is named, with where it was looked for and what to install', () => {
  assert.throws(() => new Cni(['/nowhere']).require(['bridge']), {
    code: 'failed-precondition',
    message:
      'CNI plugin "bridge" not found in /nowhere: install the plugins (Debian package containernetworking-plugins), or use --network host or none',
  });
});

test('a plugin that hangs ends with the caller', async () => {
  await using place = await plugin('exec sleep 60');
  const over = new AbortController();
  const running = place.cni.run({ type: 'fake' }, call, over.signal);
  over.abort(new Error('the caller left'));
  await assert.rejects(running, /the caller left/);
});

test('subnets are read, compared and chosen around what the host uses', () => {
  const subnet = parseSubnet('10.88.3.4/16');
  assert.equal(formatSubnet(subnet), '10.88.0.0/16');
  assert.equal(gatewayOf(subnet), '10.88.0.1');
  assert.equal(overlaps(subnet, parseSubnet('10.0.0.0/8')), true);
  assert.equal(overlaps(subnet, parseSubnet('10.89.0.0/16')), false);
  assert.equal(formatSubnet(chooseSubnet([])), '10.88.0.0/16');
  assert.equal(formatSubnet(chooseSubnet([parseSubnet('10.0.0.0/8')])), '172.24.0.0/16');
  assert.throws(() => parseSubnet('10.88.0.0'), /10\.88\.0\.0\/16/);
  assert.throws(() => parseSubnet('10.88.0.300/16'), { code: 'invalid-argument' });
});

test("the host's routes are read without the default one and the bridge's own", () => {
  const table = [
    'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT',
    'eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0',
    'eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0',
    'hako0\t0000580A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0',
    '',
  ].join('\n');
  assert.deepEqual(hostSubnets('hako0', table).map(formatSubnet), ['192.0.2.0/24']);
  assert.deepEqual(hostSubnets('', table).map(formatSubnet), ['192.0.2.0/24', '10.88.0.0/16']);
});

test('ports that were left open are chosen among those nobody has', async () => {
  const want: PortMapping = { hostIp: '', hostPort: 0, containerPort: 80, protocol: 'tcp' };
  const taken: PortMapping = { ...want, hostPort: 32_768 };
  const free = async (port: number): Promise<boolean> => port !== 32_769;
  const chosen = await choosePorts([want, want], [taken], free);
  assert.deepEqual(
    chosen.map(({ hostPort }) => hostPort),
    [32_770, 32_771],
  );
});

test('the same port on two different addresses is no clash, on all addresses it is', async () => {
  const want: PortMapping = { hostIp: '127.0.0.1', hostPort: 80, containerPort: 80, protocol: 'tcp' };
  const free = async (): Promise<boolean> => true;
  await choosePorts([want], [{ ...want, hostIp: '127.0.0.2' }], free);
  await choosePorts([want], [{ ...want, protocol: 'udp' }], free);
  await assert.rejects(choosePorts([want], [{ ...want, hostIp: '' }], free), {
    message: 'Bind for 127.0.0.1:80 failed: port is already allocated',
  });
});

test('the configuration refuses what it does not know, with the nearest it does', () => {
  assert.throws(() => parseNetworkConfig({ subnets: '10.1.0.0/16' }), /did you mean "subnet"/);
  assert.throws(() => parseNetworkConfig({ bridge: 'much-too-long-a-name' }), /at most 15/);
  assert.deepEqual(parseNetworkConfig({ subnet: '10.1.0.0/16' }), {
    masquerade: true,
    subnet: parseSubnet('10.1.0.0/16'),
  });
});
