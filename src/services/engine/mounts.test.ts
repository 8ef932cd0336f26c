import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfig } from './config.ts';
import { ociMount, planMounts, type MountPlan } from './mounts.ts';

const plan = (hostConfig: object, volumes: object = {}): MountPlan[] =>
  planMounts({ root: '/root' }, readConfig({ Image: 'x', Volumes: volumes }), hostConfig as { [key: string]: unknown });

test('a bind makes its directory, a mount of type bind does not', () => {
  const [bind] = plan({ Binds: ['/host:/inside:ro'] });
  assert.deepEqual(bind?.point, {
    Type: 'bind',
    Source: '/host',
    Destination: '/inside',
    Mode: 'ro',
    RW: false,
    Propagation: 'rprivate',
  });
  assert.equal(bind?.createSource, true);
  assert.deepEqual(ociMount(bind).options, ['rbind', 'rprivate', 'ro']);
  const [mount] = plan({ Mounts: [{ Type: 'bind', Source: '/host', Target: '/inside' }] });
  assert.equal(mount?.createSource, false);
});

test('a name is a volume of ours, a lone path an anonymous one', () => {
  const [named, anonymous] = plan({ Binds: ['data:/data', '/cache'] });
  assert.equal(named?.point.Source, '/root/volumes/data/_data');
  assert.equal(named?.point.Anonymous, undefined);
  assert.equal(anonymous?.point.Anonymous, true);
  assert.match(anonymous?.point.Name ?? '', /^[0-9a-f]{64}$/);
});

test("the image's VOLUME yields to what the request puts there", () => {
  const plans = plan({ Binds: ['/host:/data'] }, { '/data': {}, '/other': {} });
  assert.deepEqual(
    plans.map(({ point }) => [point.Type, point.Destination]),
    [
      ['bind', '/data'],
      ['volume', '/other'],
    ],
  );
});

test('no mount leads out of the container or over its root', () => {
  assert.throws(() => plan({ Binds: ['/host:relative'] }), /must be absolute/);
  assert.throws(() => plan({ Binds: ['/host:/..'] }), /destination can't be '\/'/);
  assert.throws(() => plan({ Binds: ['../up:/x'] }), /invalid characters for a local volume name/);
  assert.throws(() => plan({ Binds: ['/a:/x', '/b:/x/'] }), /Duplicate mount point: \/x/);
  assert.throws(() => plan({ Binds: ['/a:/x:sideways'] }), /invalid mode: sideways/);
  assert.throws(() => plan({ Binds: ['a:b:c:d'] }), /invalid volume specification/);
});

test('a tmpfs takes the options it knows', () => {
  const [mount] = plan({ Tmpfs: { '/t': 'size=1m,mode=700' } });
  assert.deepEqual(ociMount(mount as MountPlan).options.slice(-2), ['size=1m', 'mode=700']);
  const [bad] = plan({ Tmpfs: { '/t': 'lowerdir=/etc' } });
  assert.throws(() => ociMount(bad as MountPlan), /invalid tmpfs option/);
});
