import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Descriptor } from '#core/images.ts';
import {
  chainIds,
  choosePlatform,
  mountSource,
  parseConfig,
  parseIndex,
  parseManifest,
  referenceLabels,
  sourceLabel,
  uploadRef,
} from './pull-manifest.ts';

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;
const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const indexType = 'application/vnd.oci.image.index.v1+json';
const configType = 'application/vnd.oci.image.config.v1+json';
const layerType = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
const of = (mediaType: string, letter: string, platform?: Descriptor['platform']): Descriptor => ({
  mediaType,
  digest: digest(letter),
  size: 1,
  ...(platform === undefined ? {} : { platform }),
});
const bytes = (value: unknown): Buffer => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));

test('chainIds() stacks digests as image-spec says', () => {
  // Counted by hand: printf '%s %s' sha256:aa… sha256:bb… | sha256sum
  assert.deepEqual(chainIds([]), []);
  const [first, second] = chainIds([digest('a'), digest('b')]);
  assert.equal(first, digest('a'));
  assert.equal(second, 'sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c');
});

test('parseManifest() and parseIndex() refuse what could be read in two ways, or is no manifest', () => {
  const config = of(configType, 'c');
  const cases: readonly (readonly [unknown, RegExp])[] = [
    ['{', /is not JSON/],
    [[], /is not a JSON object/],
    [{ config, layers: [], manifests: [] }, /is an index and an image at once/],
    [{ mediaType: indexType, config, layers: [] }, /says of itself that it is "application\/vnd\.oci\.image\.index/],
    [{ mediaType: 7, config, layers: [] }, /says of itself that it is something else/],
    [{ layers: [] }, /config is no descriptor/],
    [{ config }, /has no list of layers/],
    [{ config, layers: [{ ...config, digest: '../../etc/passwd' }] }, /layers\[0\]: invalid checksum digest format/],
    [{ config, layers: [{ ...config, size: -1 }] }, /layers\[0\] has a size that is none/],
    [{ config, layers: Array.from({ length: 1001 }, () => config) }, /has 1001 layers, the limit is 1000/],
  ];
  for (const [body, message] of cases) {
    assert.throws(() => parseManifest(of(manifestType, 'a'), bytes(body)), { code: 'failed-precondition', message });
  }
  assert.throws(() => parseIndex(of(indexType, 'a'), bytes({ manifests: 1 })), /has no list of manifests/);
  const odd = { ...of(manifestType, 'b'), platform: { os: 1 }, annotations: { a: 'b', c: 1 } };
  assert.deepEqual(parseIndex(of(indexType, 'a'), bytes({ manifests: [odd] })), [
    { ...of(manifestType, 'b'), annotations: { a: 'b' } },
  ]);
});

test('parseConfig() reads what unpacking needs', () => {
  const config = of(configType, 'c');
  const whole = {
    os: 'linux',
    architecture: 'arm64',
    variant: 'v8',
    rootfs: { type: 'layers', diff_ids: [digest('a')] },
  };
  assert.deepEqual(parseConfig(config, bytes(whole)), {
    platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
    diffIds: [digest('a')],
  });
  assert.deepEqual(parseConfig(config, bytes({})), { diffIds: [] });
  assert.throws(() => parseConfig(config, bytes({ rootfs: { type: 'tree' } })), /not of type "layers"/);
  assert.throws(() => parseConfig(config, bytes({ rootfs: { diff_ids: ['x'] } })), {
    code: 'failed-precondition',
    message: /holds something that is no digest/,
  });
});

test('choosePlatform() takes the best match, then one that does not say, never an attestation', () => {
  const linux = (architecture: string, variant?: string): Descriptor['platform'] =>
    variant === undefined ? { os: 'linux', architecture } : { os: 'linux', architecture, variant };
  const children = [
    of(manifestType, '0', { os: 'unknown', architecture: 'unknown' }),
    of(manifestType, '1', linux('386')),
    of(manifestType, '2', linux('amd64')),
    of(manifestType, '3', linux('arm', 'v6')),
    of(manifestType, '4', linux('arm', 'v7')),
    of('application/vnd.in-toto+json', '5', linux('amd64')),
  ];
  const chosen = (architecture: string, variant?: string): string | undefined =>
    choosePlatform('x', children, linux(architecture, variant) ?? { os: '', architecture: '' }).digest;
  assert.equal(chosen('amd64'), digest('2'));
  assert.equal(chosen('arm', 'v7'), digest('4'));
  assert.equal(chosen('arm', 'v6'), digest('3'));
  assert.throws(() => chosen('s390x'), {
    code: 'not-found',
    message:
      'image "x": no match for platform linux/s390x in manifest: it has linux/386, linux/amd64, linux/arm/v6, linux/arm/v7',
  });
  children.push(of(manifestType, '6'));
  assert.equal(chosen('s390x'), digest('6'));
  assert.equal(chosen('amd64'), digest('2'));
});

test('referenceLabels() counts each kind by itself', () => {
  assert.deepEqual(
    referenceLabels([
      of(configType, 'c'),
      of(layerType, 'a'),
      of(layerType, 'b'),
      of('text/plain', 'd'),
      of(indexType, 'e'),
    ]),
    {
      'containerd.io/gc.ref.content.config': digest('c'),
      'containerd.io/gc.ref.content.l.0': digest('a'),
      'containerd.io/gc.ref.content.l.1': digest('b'),
      'containerd.io/gc.ref.content.0': digest('d'),
      'containerd.io/gc.ref.content.1': digest('e'),
    },
  );
});

test('sourceLabel() gathers repositories in order, up to the size of a label', () => {
  const key = 'containerd.io/distribution.source.r';
  assert.deepEqual(sourceLabel('r:5000', 'b', { [key]: 'c,a' }), { [key]: 'a,b,c' });
  assert.deepEqual(sourceLabel('r:5000', 'b', { [key]: 'x'.repeat(4090) }), {});
  assert.deepEqual(Object.keys(sourceLabel('[::1]:5000', 'b', {})), ['containerd.io/distribution.source.::1']);
});

test('mountSource() takes the repository with the longest way in common, never the target itself', () => {
  const labels = { 'containerd.io/distribution.source.r': 'a/b,a/b/c,a/z,q' };
  assert.equal(mountSource('r:5000', 'a/b/c', labels), 'a/b');
  assert.equal(mountSource('r', 'a/x', labels), 'a/z');
  assert.equal(mountSource('r', 'x', labels), 'q');
  assert.equal(mountSource('r', 'q', { 'containerd.io/distribution.source.r': 'q' }), undefined);
  assert.equal(mountSource('other', 'a', labels), undefined);
});

test('uploadRef() names each kind as containerd does', () => {
  const named = { ...of(layerType, 'a'), annotations: { 'org.opencontainers.image.ref.name': 'v1' } };
  const refs = [of(manifestType, 'a'), of(indexType, 'a'), of(configType, 'a'), named, of('text/plain', 'a')];
  assert.deepEqual(
    [...refs, of('application/vnd.in-toto+json', 'a')].map((one) => uploadRef(one).replace(digest('a'), 'D')),
    ['manifest-D', 'index-D', 'config-D', 'layer-v1@D', 'unknown-D', 'attestation-D'],
  );
});
