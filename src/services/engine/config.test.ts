import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  checkHostConfig,
  checkSharedNetwork,
  commandOf,
  mergeEnv,
  mergeImage,
  networkModeOf,
  readConfig,
  type ImageDefaults,
} from './config.ts';

const merged = (request: object, image: ImageDefaults): ReturnType<typeof mergeImage> =>
  mergeImage(readConfig({ Image: 'x', ...request }), image);
const image: ImageDefaults = {
  Entrypoint: ['/entry'],
  Cmd: ['default'],
  Env: ['PATH=/bin', 'A=image'],
  User: '7',
  WorkingDir: '/srv',
  StopSignal: 'SIGQUIT',
};

test('what a request leaves open comes from the image', () => {
  const config = merged({}, image);
  assert.deepEqual(commandOf(config), ['/entry', 'default']);
  assert.deepEqual([config.User, config.WorkingDir, config.StopSignal], ['7', '/srv', 'SIGQUIT']);
});

test('a command of the request keeps the entry point, an entry point of the request drops the command', () => {
  assert.deepEqual(commandOf(merged({ Cmd: ['own'] }, image)), ['/entry', 'own']);
  assert.deepEqual(commandOf(merged({ Entrypoint: ['/mine'] }, image)), ['/mine']);
  assert.deepEqual(commandOf(merged({ Entrypoint: ['/mine'], Cmd: ['own'] }, image)), ['/mine', 'own']);
  assert.deepEqual(commandOf(merged({ Entrypoint: [''], Cmd: ['sh'] }, image)), ['sh']);
});

test('nothing to run is refused in the words of Docker', () => {
  assert.throws(() => commandOf(merged({}, {})), { code: 'invalid-argument', message: 'no command specified' });
});

test('the environment is merged by name, and a bare name takes a variable away', () => {
  assert.deepEqual(merged({ Env: ['A=mine', 'B=2'] }, image).Env, ['PATH=/bin', 'A=mine', 'B=2']);
  assert.deepEqual(mergeEnv(['A=1', 'B=2'], ['A']), ['B=2']);
  assert.deepEqual(mergeEnv([], ['A=x=y']), ['A=x=y']);
  assert.throws(() => mergeEnv([], ['=x']), /invalid environment variable/);
});

test('labels, ports and volumes of both are there, the request winning', () => {
  const config = merged(
    { Labels: { a: 'mine' }, ExposedPorts: { '80/tcp': {} }, Volumes: { '/data': {} } },
    { Labels: { a: 'image', b: 'image' }, ExposedPorts: { '81/tcp': {} }, Volumes: { '/more': {} } },
  );
  assert.deepEqual(config.Labels, { a: 'mine', b: 'image' });
  assert.deepEqual(Object.keys(config.ExposedPorts).toSorted(), ['80/tcp', '81/tcp']);
  assert.deepEqual(Object.keys(config.Volumes ?? {}).toSorted(), ['/data', '/more']);
});

test('a field of the wrong type is named', () => {
  assert.throws(() => readConfig({ Image: 'x', Env: [1] }), /field "Env"/);
  assert.throws(() => readConfig({ Image: 'x', Tty: 'yes' }), /field "Tty"/);
  assert.deepEqual(readConfig({ Image: 'x', Cmd: 'lone' }).Cmd, ['lone']);
});

test('network modes are told apart', () => {
  assert.deepEqual(networkModeOf({}), { kind: 'network', name: 'bridge' });
  assert.deepEqual(networkModeOf({ NetworkMode: 'default' }), { kind: 'network', name: 'bridge' });
  assert.deepEqual(networkModeOf({ NetworkMode: 'host' }), { kind: 'host' });
  assert.deepEqual(networkModeOf({ NetworkMode: 'container:web' }), { kind: 'container', ref: 'web' });
  assert.throws(() => networkModeOf({ NetworkMode: 'container:' }), { code: 'invalid-argument' });
});

test('what is kept but not acted on is said, what would be a lie is refused', () => {
  assert.match(checkHostConfig({ RestartPolicy: { Name: 'always' } })[0] ?? '', /not restarted yet/);
  assert.deepEqual(checkHostConfig({ RestartPolicy: { Name: 'no' } }), []);
  assert.throws(() => checkHostConfig({ Init: true }), { code: 'unimplemented' });
  assert.throws(() => checkHostConfig({ RestartPolicy: { Name: 'sometimes' } }), { code: 'invalid-argument' });
  const logOptions = { LogConfig: { Type: 'json-file', Config: { 'max-size': '1m' } } };
  assert.match(checkHostConfig(logOptions)[0] ?? '', /not acted on yet: max-size/);
  assert.throws(() => checkHostConfig({ VolumeDriver: 'nfs' }), { code: 'unimplemented' });
  assert.throws(() => checkHostConfig({ Isolation: 'hyperv' }), { code: 'invalid-argument' });
  assert.throws(() => checkHostConfig({ NanoCpus: 1e15 }), /as there are only/);
  const negative = { Name: 'on-failure', MaximumRetryCount: -1 };
  assert.throws(() => checkHostConfig({ RestartPolicy: negative }), /cannot be negative/);
  assert.throws(
    () => checkHostConfig({ AutoRemove: true, RestartPolicy: { Name: 'always' } }),
    /can't create 'AutoRemove'/,
  );
});

test("who shares another container's network has no ports and no name of its own there", () => {
  const hostConfig = { NetworkMode: 'container:web' };
  const config = readConfig({ Image: 'x' });
  checkSharedNetwork(hostConfig, config);
  checkSharedNetwork({}, readConfig({ Image: 'x', Hostname: 'mine' }));
  assert.throws(() => checkSharedNetwork(hostConfig, readConfig({ Image: 'x', Hostname: 'mine' })), /hostname and/);
  const published = { ...hostConfig, PortBindings: { '80/tcp': [{ HostPort: '1' }] } };
  assert.throws(() => checkSharedNetwork(published, config), /port publishing and/);
});
