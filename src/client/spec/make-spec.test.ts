// Facts measured with `ctr` 2.1: what `ctr containers info --spec` shows after `ctr containers create FLAGS IMAGE ID`.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { digestOf } from '#base/digest.ts';
import { makeSpec } from './make-spec.ts';
import type { SpecRequest } from './request.ts';
import { packSpec } from './spec-json.ts';
import type { Spec } from './types.ts';
import type { UserFiles } from './users.ts';

const directory = mkdtempSync(join(tmpdir(), 'spec-'));
after(() => rmSync(directory, { recursive: true }));
const file = (name: string, text: string): string => {
  writeFileSync(join(directory, name), text);
  return join(directory, name);
};

const files: UserFiles = {
  passwd: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nharbour:x:1000:1000::/home:/bin/sh\n',
  group: 'root:x:0:\ntty:x:5:\nnobody:x:65534:\nharbour:x:1000:\nstaff:x:50:harbour\n',
};
const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const plainImage = { Env: [path], Cmd: ['sh'] };
const userImage = {
  User: 'harbour',
  WorkingDir: '/home',
  Entrypoint: ['sh', '-c'],
  Cmd: ['id'],
  Env: ['A=1', 'PATH=/bin'],
};

const make = (wishes: Partial<SpecRequest> = {}, users: UserFiles = files): Promise<Spec> =>
  makeSpec({ namespace: 'default', id: 'one', image: plainImage, ...wishes }, async () => users);

/** The parts of a spec that differ from what it is without wishes, by their paths. */
async function changes(wishes: Partial<SpecRequest>): Promise<Record<string, unknown>> {
  const [before, after] = [flat(await make()), flat(await make(wishes))];
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return Object.fromEntries(
    names
      .filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]))
      .map((name) => [name, after[name]]),
  );
}

function flat(value: unknown, prefix = ''): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { [prefix]: value };
  return Object.assign(
    {},
    ...Object.entries(value).map(([key, one]) => flat(one, prefix === '' ? key : `${prefix}.${key}`)),
  ) as Record<string, unknown>;
}

test('a spec without wishes is that of containerd 2.1, to the byte', async () => {
  const { value } = packSpec(await make());
  assert.match(
    Buffer.from(value).toString(),
    /^\{"ociVersion":"1\.2\.1","process":\{"user":\{"uid":0,"gid":0,"additionalGids":/,
  );
  // Of what `ctr` makes, without the white space.
  assert.equal(digestOf(value), 'sha256:254c434a049e9d47b750e93a054e44508d0edfb15c82b454853c2fce7af6d053');
});

test("the image's command, directory, variables and user go into the process", async () => {
  const { process } = await make({ image: userImage });
  assert.deepEqual(process?.args, ['sh', '-c', 'id']);
  assert.deepEqual(process?.user, { uid: 1000, gid: 1000, additionalGids: [1000, 50] });
  assert.equal(process?.cwd, '/home');
  assert.deepEqual((await make({ image: {} })).process?.env, [path]);
});

test('variables take the place of those in the image; a bare name takes none of its away', async () => {
  const envFile = file('env', 'FROMFILE=1\nA=file\nPATH=/x\n');
  const env = async (wishes: Partial<SpecRequest>) => (await make({ image: userImage, ...wishes })).process?.env;
  assert.deepEqual(await env({ env: ['A=2', 'B=3', 'PATH', 'NEW'] }), ['A=2', 'PATH=/bin', 'B=3']);
  assert.deepEqual(await env({ envFile, env: ['A=2'] }), ['A=2', 'PATH=/x', 'FROMFILE=1']);
  assert.deepEqual(await env({ tty: true }), ['A=1', 'PATH=/bin', 'TERM=xterm']);
});

const users: readonly (readonly [string, Required<NonNullable<Spec['process']>>['user']])[] = [
  ['harbour', { uid: 1000, gid: 1000, additionalGids: [1000, 50] }],
  ['1000', { uid: 1000, gid: 1000, additionalGids: [1000, 50] }],
  ['1234', { uid: 1234, gid: 0, additionalGids: [0] }],
  ['0:50', { uid: 0, gid: 50, additionalGids: [50] }],
  ['nobody:staff', { uid: 65534, gid: 50, additionalGids: [50] }],
];
for (const [user, expected] of users)
  test(`--user ${user}`, async () => assert.deepEqual((await make({ user })).process?.user, expected));

test('a user, group or number that cannot be is refused', async () => {
  await assert.rejects(make({ user: 'nosuch' }), { code: 'not-found', message: /user "nosuch"/ });
  await assert.rejects(make({ user: '0:nosuch' }), { code: 'not-found', message: /group "nosuch"/ });
  await assert.rejects(make({ user: 'a:b:c' }), { code: 'invalid-argument' });
  await assert.rejects(make({ user: 'root' }, { passwd: undefined, group: undefined }), {
    message: /no \/etc\/passwd/,
  });
  assert.deepEqual((await make({ user: '7' }, { passwd: undefined, group: undefined })).process?.user, {
    ...{ uid: 7, gid: 0, additionalGids: [0] },
  });
});

test('a rootfs of one’s own has no image to take anything from', async () => {
  const spec = await makeSpec({ namespace: 'n', id: 'i', rootfs: '/srv/root', args: ['ls'] }, () =>
    assert.fail('asked'),
  );
  assert.equal(spec.root?.path, '/srv/root');
  assert.deepEqual(spec.process?.args, ['ls']);
  assert.equal(spec.process?.env, undefined);
});

const flags: readonly (readonly [string, Partial<SpecRequest>, Record<string, unknown>])[] = [
  [
    '--cwd --read-only --hostname',
    { cwd: '/tmp', readOnly: true, hostname: 'hh' },
    { 'process.cwd': '/tmp', 'root.readonly': true, hostname: 'hh' },
  ],
  ['--cpus', { cpus: 0.5 }, { 'linux.resources.cpu.quota': 50_000, 'linux.resources.cpu.period': 100_000 }],
  [
    '--cpu-shares and sets',
    { cpuShares: 512, cpusetCpus: '0', cpusetMems: '0-1' },
    { 'linux.resources.cpu.shares': 512, 'linux.resources.cpu.cpus': '0', 'linux.resources.cpu.mems': '0-1' },
  ],
  [
    '--cpu-period alone',
    { cpuPeriod: 50_000 },
    { 'linux.resources.cpu.quota': -1, 'linux.resources.cpu.period': 50_000 },
  ],
  ['--memory-limit', { memoryLimit: 100 }, { 'linux.resources.memory.limit': 100 }],
  ['--cgroup', { cgroup: '/foo/bar' }, { 'linux.cgroupsPath': '/foo/bar' }],
  ['--cgroup ""', { cgroup: '' }, { 'linux.cgroupsPath': undefined }],
  ['--allow-new-privs', { allowNewPrivileges: true }, { 'process.noNewPrivileges': undefined }],
  ['--rootfs-propagation', { rootfsPropagation: 'shared' }, { 'linux.rootfsPropagation': 'shared' }],
  ['--rdt-class', { rdtClass: 'gold' }, { 'linux.intelRdt.closID': 'gold' }],
  ['--apparmor-profile', { apparmorProfile: 'foo' }, { 'process.apparmorProfile': 'foo' }],
  [
    '--label --annotation',
    { labels: { a: 'b' }, annotations: { x: 'y' } },
    { 'annotations.a': 'b', 'annotations.x': 'y' },
  ],
  [
    '--rlimit-nofile',
    { rlimitNofile: { soft: 1, hard: 2 } },
    { 'process.rlimits': [{ type: 'RLIMIT_NOFILE', hard: 2, soft: 1 }] },
  ],
  [
    '--with-ns',
    { withNs: ['network:/proc/1/ns/net', 'user:/x', 'pid:'] },
    {
      'linux.namespaces': [
        { type: 'pid' },
        { type: 'ipc' },
        { type: 'uts' },
        { type: 'mount' },
        { type: 'network', path: '/proc/1/ns/net' },
        { type: 'user', path: '/x' },
      ],
    },
  ],
];
for (const [name, wishes, expected] of flags) test(name, async () => assert.deepEqual(await changes(wishes), expected));

test('--net-host leaves the network namespace out and brings names of the host', async () => {
  const spec = await make({ netHost: true });
  assert.ok(!spec.linux?.namespaces?.some(({ type }) => type === 'network'));
  assert.deepEqual(
    spec.mounts?.slice(-2).map(({ destination, options }) => [destination, options]),
    [
      ['/etc/hosts', ['rbind', 'ro']],
      ['/etc/resolv.conf', ['rbind', 'ro']],
    ],
  );
  assert.equal(spec.process?.env?.at(-1), `HOSTNAME=${hostname()}`);
});

test('--mount takes the place of a mount at the same destination', async () => {
  const { mounts = [] } = await make({
    mounts: ['type=bind,src=/tmp,dst=/host,options=rbind:ro', 'type=tmpfs,dst=/run', '"src=/a,b",dst=/c'],
  });
  assert.deepEqual(mounts.slice(-3), [
    { destination: '/host', type: 'bind', source: '/tmp', options: ['rbind', 'ro'] },
    { destination: '/run', type: 'tmpfs' },
    { destination: '/c', source: '/a,b' },
  ]);
  assert.equal(mounts.filter(({ destination }) => destination === '/run').length, 1);
  await assert.rejects(make({ mounts: ['type=bind,foo=/x'] }), /option "foo" is not supported/);
  await assert.rejects(make({ mounts: ['type'] }), /not of the form key=value/);
});

test('capabilities are added and dropped in every set but the inheritable one', async () => {
  const { capabilities } = (await make({ capAdd: ['CAP_NET_ADMIN', 'CAP_CHOWN'], capDrop: ['CAP_KILL'] })).process!;
  assert.equal(capabilities?.bounding?.at(-1), 'CAP_NET_ADMIN');
  assert.equal(capabilities?.bounding?.filter((one) => one === 'CAP_CHOWN').length, 1);
  assert.ok(!capabilities?.effective?.includes('CAP_KILL'));
  assert.equal(capabilities?.inheritable, undefined);
  await assert.rejects(make({ capAdd: ['NET_ADMIN'] }), /must begin with "CAP_"/);
});

test('--privileged lifts masks and device rules, as far as we may ourselves', async () => {
  const { linux, mounts } = await make({ privileged: true });
  assert.equal(linux?.maskedPaths, undefined);
  assert.equal(linux?.readonlyPaths, undefined);
  assert.deepEqual(linux?.resources?.devices, [{ allow: true, access: 'rwm' }]);
  assert.deepEqual(
    linux?.devices?.find(({ path: at }) => at === '/dev/null'),
    { path: '/dev/null', type: 'c', major: 1, minor: 3, fileMode: 0o666, uid: 0, gid: 0 },
  );
  assert.ok(mounts?.find(({ type }) => type === 'sysfs')?.options?.includes('rw'));
  const without = await make({ privileged: true, privilegedWithoutHostDevices: true });
  assert.equal(without.linux?.devices, undefined);
  await assert.rejects(make({ privilegedWithoutHostDevices: true }), /needs --privileged/);
});

test('--device adds the device and the right to it', async () => {
  const { linux } = await make({ devices: ['/dev/null'] });
  assert.deepEqual(linux?.resources?.devices?.at(-1), { allow: true, type: 'c', major: 1, minor: 3, access: 'rwm' });
  assert.equal(linux?.devices?.[0]?.path, '/dev/null');
  await assert.rejects(make({ devices: ['/dev/nosuch'] }), { code: 'not-found' });
  await assert.rejects(make({ devices: ['/etc/passwd'] }), /not a device node/);
  await assert.rejects(make({ devices: ['vendor.com/class=name'] }), /Container Device Interface/);
});

test('--seccomp follows the bounding set; a profile of one’s own is taken as it is', async () => {
  type Rules = { syscalls: { names: string[]; action: string; errnoRet?: number }[]; architectures: string[] };
  const plain = (await make({ seccomp: true })).linux?.seccomp as Rules;
  assert.deepEqual(plain.syscalls.at(-1), { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 });
  assert.ok(!plain.syscalls[0]!.names.includes('mseal'), "containerd's profile is older than Docker's");
  const admin = (await make({ seccomp: true, capAdd: ['CAP_SYS_ADMIN'] })).linux?.seccomp as Rules;
  assert.ok(admin.syscalls.at(-1)!.names.includes('mount'));
  const seccompProfile = file('seccomp.json', '{"defaultAction":"SCMP_ACT_ALLOW"}');
  assert.deepEqual((await make({ seccomp: true, seccompProfile })).linux?.seccomp, { defaultAction: 'SCMP_ACT_ALLOW' });
  await assert.rejects(make({ seccompProfile }), /needs --seccomp/);
});

test('contradictory limits and unknown namespaces are refused', async () => {
  await assert.rejects(make({ cpus: 1, cpuQuota: 5 }), /--cpus/);
  await assert.rejects(make({ withNs: ['time:/x'] }), /--with-ns/);
  await assert.rejects(make({ withNs: ['network'] }), /--with-ns/);
});
