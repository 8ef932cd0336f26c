import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfig } from '../engine/config.ts';
import { allCapabilities, capabilitiesOf, capabilitiesOfMask, defaultCapabilities } from './capabilities.ts';
import { dockerSpec, type BuiltSpec } from './docker-spec.ts';
import { hostsFile, resolvConf } from './files.ts';
import { defaultSeccomp, parseSeccompProfile } from './seccomp.ts';
import type { OciMount } from './types.ts';
import { lookUpUser } from './users.ts';

const host = {
  architecture: 'amd64',
  cgroupVersion: 2,
  capabilities: allCapabilities,
  oomScoreAdj: 0,
  kernel: [6, 1],
} as const;

function built(
  hostConfig: object,
  options: { config?: object; uid?: number; mounts?: OciMount[]; facts?: object } = {},
): BuiltSpec {
  return dockerSpec({
    namespace: 'default',
    id: 'box',
    config: { ...readConfig({ Image: 'x', Cmd: ['true'] }), Hostname: 'box', ...options.config },
    hostConfig: hostConfig as { [key: string]: unknown },
    user: { uid: options.uid ?? 0, gid: 0, additionalGids: [] },
    devices: { devices: [], rules: [] },
    mounts: options.mounts ?? [],
    files: { hostname: '/f/hostname', hosts: '/f/hosts', resolvConf: '/f/resolv.conf' },
    host: { ...host, ...options.facts },
  });
}

const allowed = (names: string[], profile = defaultSeccomp(names, 'amd64')): Set<string> =>
  new Set(
    (profile?.syscalls ?? [])
      .filter(({ action, args }) => action === 'SCMP_ACT_ALLOW' && args === undefined)
      .flatMap(({ names: calls }) => calls),
  );

test('seccomp lets programs live and keeps them from mounting, keys and new namespaces', () => {
  const calls = allowed([...defaultCapabilities]);
  for (const name of ['read', 'execve', 'openat', 'futex', 'chroot']) assert(calls.has(name), name);
  for (const name of [
    'mount',
    'keyctl',
    'add_key',
    'unshare',
    'setns',
    'kexec_load',
    'io_uring_setup',
    'userfaultfd',
    'clone',
    'clone3',
    'socket',
  ]) {
    assert(!calls.has(name), name);
  }
});

test('a capability brings the calls that are of no use without it', () => {
  assert(allowed(['CAP_SYS_ADMIN']).has('mount'));
  assert(allowed(['CAP_SYS_ADMIN']).has('clone3'));
  assert(!allowed([]).has('chroot'));
  assert(allowed(['CAP_SYS_TIME']).has('settimeofday'));
});

test('clone may make threads and processes but no namespaces, and clone3 says it does not exist', () => {
  const rules = defaultSeccomp([], 'amd64')?.syscalls ?? [];
  const clone = rules.find(({ names }) => names.includes('clone'));
  assert.deepEqual(clone?.args, [{ index: 0, value: 0x7e020000, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }]);
  assert.equal(rules.find(({ names }) => names.includes('clone3'))?.errnoRet, 38);
  assert.equal(
    defaultSeccomp([], 's390x')?.syscalls?.find(({ names }) => names.includes('clone'))?.args?.[0]?.index,
    1,
  );
});

test("a profile of the user's is read by capability and architecture, and refused when it is none", () => {
  const text = JSON.stringify({
    defaultAction: 'SCMP_ACT_ERRNO',
    syscalls: [
      { names: ['read'], action: 'SCMP_ACT_ALLOW' },
      { names: ['mount'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_SYS_ADMIN'] } },
      { names: ['arch_prctl'], action: 'SCMP_ACT_ALLOW', includes: { arches: ['arm64'] } },
    ],
  });
  assert.deepEqual([...allowed([], parseSeccompProfile(text, [], 'amd64'))], ['read']);
  assert.throws(() => parseSeccompProfile('{', [], 'amd64'), { code: 'invalid-argument' });
  assert.throws(() => parseSeccompProfile('{}', [], 'amd64'), /defaultAction/);
});

test('capabilities are added and dropped as Docker has it', () => {
  const of = (add: string[], drop: string[]): string[] =>
    capabilitiesOf({ add, drop, privileged: false }, allCapabilities);
  assert.deepEqual(new Set(of([], [])), new Set(defaultCapabilities));
  assert.deepEqual(of(['net_admin'], ['ALL']), ['CAP_NET_ADMIN']);
  assert.equal(of(['ALL'], ['CAP_SYS_ADMIN']).length, allCapabilities.length - 1);
  assert(!of([], ['MKNOD']).includes('CAP_MKNOD'));
  assert.throws(() => of(['NOPE'], []), /invalid CapAdd: unknown capability: "NOPE"/);
  assert.throws(
    () => capabilitiesOf({ add: ['SYS_ADMIN'], drop: [], privileged: false }, []),
    /does not have it to give/,
  );
  assert.deepEqual(capabilitiesOfMask(0b1001n), ['CAP_CHOWN', 'CAP_FOWNER']);
});

test('a privileged container has all, an ordinary one neither devices nor a writable /sys', () => {
  const plain = built({}).spec;
  const privileged = built({ Privileged: true }).spec;
  const sys = (spec: typeof plain): boolean | undefined =>
    spec.mounts.find(({ destination }) => destination === '/sys')?.options.includes('ro');
  assert.deepEqual([sys(plain), sys(privileged)], [true, false]);
  assert.deepEqual(plain.linux.resources.devices[0], { allow: false, access: 'rwm' });
  assert.deepEqual(privileged.linux.resources.devices, [{ allow: true, access: 'rwm' }]);
  assert(plain.linux.seccomp !== undefined && plain.linux.maskedPaths?.includes('/proc/kcore'));
  assert.equal(privileged.linux.seccomp, undefined);
  assert.equal(privileged.linux.maskedPaths, undefined);
});

test('who is not root starts without capabilities in effect', () => {
  const { capabilities } = built({}, { uid: 1000 }).spec.process;
  assert.deepEqual([capabilities?.effective.length, capabilities?.permitted.length], [0, 0]);
  assert((capabilities?.bounding.length ?? 0) > 0);
});

test('namespaces are shared with the host where asked, the cgroup one by the kind of cgroups', () => {
  const types = (hostConfig: object, facts: object = {}): string[] =>
    built(hostConfig, { facts }).spec.linux.namespaces.map(({ type }) => type);
  assert.deepEqual(types({}), ['mount', 'network', 'uts', 'pid', 'ipc', 'cgroup']);
  assert.deepEqual(types({}, { cgroupVersion: 1 }), ['mount', 'network', 'uts', 'pid', 'ipc']);
  assert.deepEqual(types({ NetworkMode: 'host', PidMode: 'host', IpcMode: 'host', UTSMode: 'host' }), [
    'mount',
    'cgroup',
  ]);
});

test('limits are worded for the runtime, and contradictions are refused', () => {
  const { resources } = built({ Memory: 64 << 20, NanoCpus: 500_000_000, PidsLimit: 10, CpuShares: 7 }).spec.linux;
  assert.deepEqual(resources.memory, { limit: 64 << 20, swap: 128 << 20 });
  assert.deepEqual(resources.cpu, { shares: 7, quota: 50_000, period: 100_000 });
  assert.deepEqual(resources.pids, { limit: 10 });
  assert.equal(built({ PidsLimit: -1 }).spec.linux.resources.pids?.limit, -1);
  assert.throws(() => built({ Memory: 1024 }), /Minimum memory limit allowed is 6MB/);
  assert.throws(() => built({ NanoCpus: 1e9, CpuQuota: 1000 }), /Conflicting options/);
  assert.throws(() => built({ Ulimits: [{ Name: 'nofile', Soft: 20, Hard: 10 }] }), /soft limit must be less/);
});

test('an oom score that the daemon may not give is clamped and told', () => {
  const weak = { capabilities: [], oomScoreAdj: 100 };
  const { spec, warnings } = built({ OomScoreAdj: -500 }, { facts: weak });
  assert.equal(spec.process.oomScoreAdj, 100);
  assert.match(warnings[0] ?? '', /CAP_SYS_RESOURCE/);
  assert.equal(built({ OomScoreAdj: -500 }).spec.process.oomScoreAdj, -500);
});

test("the user's mounts replace ours, and what is deeper comes later", () => {
  const mount = (destination: string): OciMount => ({ destination, type: 'bind', source: '/x', options: ['rbind'] });
  const { mounts } = built(
    {},
    { mounts: [mount('/data/deep'), mount('/data'), mount('/etc/hosts'), mount('/dev/shm')] },
  ).spec;
  const places = mounts.map(({ destination }) => destination);
  assert(places.indexOf('/data') < places.indexOf('/data/deep'));
  assert.equal(places.filter((place) => place === '/etc/hosts').length, 1);
  assert.equal(mounts.find(({ destination }) => destination === '/dev/shm')?.type, 'bind');
});

test('a terminal has its size from the start', () => {
  const sized = { ConsoleSize: [33, 77] };
  assert.deepEqual(built(sized, { config: { Tty: true } }).spec.process.consoleSize, { height: 33, width: 77 });
  assert.equal(built(sized).spec.process.consoleSize, undefined);
  assert.equal(built({ ConsoleSize: [0, 0] }, { config: { Tty: true } }).spec.process.consoleSize, undefined);
});

test('security options are read, and unknown ones refused', () => {
  assert.equal(built({ SecurityOpt: ['seccomp=unconfined'] }).spec.linux.seccomp, undefined);
  assert.equal(built({ SecurityOpt: ['no-new-privileges'] }).spec.process.noNewPrivileges, true);
  assert.throws(() => built({ SecurityOpt: ['secomp=unconfined'] }), { code: 'invalid-argument' });
});

test("users and groups are looked up by name and number, in Docker's way", () => {
  const passwd = 'root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n# note\nbroken\n';
  const group = 'root:x:0:\nadm:x:4:web,root\nweb:x:34:\n';
  assert.deepEqual(lookUpUser('', passwd, group), { uid: 0, gid: 0, additionalGids: [0, 4] });
  assert.deepEqual(lookUpUser('web', passwd, group), { uid: 33, gid: 34, additionalGids: [34, 4] });
  assert.deepEqual(lookUpUser('33', passwd, group), { uid: 33, gid: 34, additionalGids: [34, 4] });
  assert.deepEqual(lookUpUser('web:adm', passwd, group), { uid: 33, gid: 4, additionalGids: [4] });
  assert.deepEqual(lookUpUser('1000:1001', undefined, undefined), { uid: 1000, gid: 1001, additionalGids: [1001] });
  assert.deepEqual(lookUpUser('1000', passwd, group, ['adm', '77']), { uid: 1000, gid: 0, additionalGids: [0, 4, 77] });
  assert.throws(() => lookUpUser('ghost', passwd, group), {
    message: 'unable to find user ghost: no matching entries in passwd file',
  });
  assert.throws(() => lookUpUser('web:ghosts', passwd, group), {
    message: 'unable to find group ghosts: no matching entries in group file',
  });
  assert.throws(() => lookUpUser('-1', passwd, group), { code: 'invalid-argument' });
});

test('resolvers on the loopback of the host are left out, and public ones stand in for none', () => {
  const options = { hostNetwork: false, servers: [], search: [], options: [] };
  assert.equal(
    resolvConf({
      ...options,
      host: 'nameserver 127.0.0.1\nnameserver 192.0.2.1\nsearch example.org\noptions ndots:2\n',
    }),
    'nameserver 192.0.2.1\nsearch example.org\noptions ndots:2\n',
  );
  assert.equal(resolvConf({ ...options, host: 'nameserver ::1\n' }), 'nameserver 8.8.8.8\nnameserver 8.8.4.4\n');
  assert.equal(resolvConf({ ...options, hostNetwork: true, host: 'nameserver 127.0.0.1\n' }), 'nameserver 127.0.0.1\n');
  assert.equal(resolvConf({ ...options, host: '', servers: ['192.0.2.9'], search: ['.'] }), 'nameserver 192.0.2.9\n');
});

test('added hosts may have IPv6 addresses', () => {
  const text = hostsFile({
    hostname: 'box',
    domainname: 'example',
    addresses: ['10.0.0.2'],
    extra: ['db:192.0.2.1', 'six:2001:db8::1', 'seven=[2001:db8::2]'],
  });
  for (const line of ['192.0.2.1\tdb', '2001:db8::1\tsix', '2001:db8::2\tseven', '10.0.0.2\tbox.example box'])
    assert(text.includes(`${line}\n`), line);
});
