// Makes OCI images out of tar entries, and sends them to a registry. Plain JavaScript for Node 20: the quickstart, the
// benchmarks and the tests share it.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { gzipSync } from 'node:zlib';
import { tar } from './tar.mjs';

const oci = 'application/vnd.oci.image';
const mediaTypes = {
  index: `${oci}.index.v1+json`,
  manifest: `${oci}.manifest.v1+json`,
  config: `${oci}.config.v1+json`,
  layer: `${oci}.layer.v1.tar+gzip`,
};

const sha256 = (bytes) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const architectures = { x64: 'amd64', arm64: 'arm64', arm: 'arm', ia32: '386', ppc64: 'ppc64le', s390x: 's390x' };
export const hostPlatform = { os: 'linux', architecture: architectures[process.arch] ?? process.arch };

/**
 * An image of the given layers (tar entries each), whole and in memory: `blobs` has every layer and the config by digest,
 * `manifest` its bytes, `target` the manifest's descriptor.
 */
export function makeImage({ layers, config = {}, platform = hostPlatform, annotations }) {
  const blobs = new Map();
  const add = (bytes, mediaType) => {
    const digest = sha256(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const tars = layers.map((entries) => tar(entries));
  const layerDescriptors = tars.map((bytes) => add(gzipSync(bytes), mediaTypes.layer));
  const configDescriptor = add(
    Buffer.from(
      JSON.stringify({
        created: '2024-01-01T00:00:00Z',
        ...platform,
        config,
        rootfs: { type: 'layers', diff_ids: tars.map(sha256) },
        history: tars.map((_, at) => ({ created: '2024-01-01T00:00:00Z', created_by: `layer ${at + 1}` })),
      }),
    ),
    mediaTypes.config,
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config: configDescriptor,
      layers: layerDescriptors,
      ...(annotations === undefined ? {} : { annotations }),
    }),
  );
  const target = { mediaType: mediaTypes.manifest, digest: sha256(manifest), size: manifest.length };
  return { target, manifest, blobs, config: configDescriptor, layers: layerDescriptors, platform };
}

/** An index over images of several platforms. */
export function makeIndex(images) {
  const manifests = images.map(({ target, platform }) => ({ ...target, platform }));
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }));
  return {
    target: { mediaType: mediaTypes.index, digest: sha256(manifest), size: manifest.length },
    manifest,
    images,
  };
}

/** Where a statically linked busybox is on this machine; undefined when there is none. */
export function findBusybox() {
  const places = [...(process.env.PATH ?? '').split(':'), '/usr/bin', '/bin', '/usr/sbin', '/sbin'];
  for (const path of places.filter((dir) => dir !== '').map((dir) => `${dir}/busybox`)) {
    let bytes;
    try {
      bytes = readFileSync(path);
    } catch {
      continue;
    }
    if (isStatic(bytes)) return { path, bytes };
  }
  return undefined;
}

/** A 64-bit ELF program without an interpreter (program header type 3) needs no libraries. */
function isStatic(bytes) {
  if (bytes.length < 64 || bytes.readUInt32BE(0) !== 0x7f454c46 || bytes[4] !== 2) return false;
  const table = Number(bytes.readBigUInt64LE(32));
  const size = bytes.readUInt16LE(54);
  const count = bytes.readUInt16LE(56);
  for (let at = 0; at < count; at++) if (bytes.readUInt32LE(table + at * size) === 3) return false;
  return true;
}

/** The files of a small Linux: busybox under every name it has, users, and the directories that programs expect. */
export function busyboxEntries({ path, bytes }) {
  const names = execFileSync(path, ['--list'], { encoding: 'utf8' })
    .split('\n')
    .filter((name) => name !== '');
  const dirs = [
    'bin',
    'dev',
    'etc',
    'home',
    'proc',
    'root',
    'run',
    'sbin',
    'sys',
    'tmp',
    'usr',
    'usr/bin',
    'var',
    'var/tmp',
  ];
  const file = (name, text, mode = 0o644) => ({ name, data: Buffer.from(text), mode });
  return [
    ...dirs.map((name) => ({
      name: `${name}/`,
      type: 'dir',
      mode: /tmp$/.test(name) ? 0o1777 : name === 'root' ? 0o700 : 0o755,
    })),
    { name: 'bin/busybox', data: bytes, mode: 0o755 },
    ...names
      .filter((name) => name !== 'busybox')
      .map((name) => ({ name: `bin/${name}`, type: 'symlink', link: 'busybox', mode: 0o777 })),
    { name: 'usr/bin/env', type: 'symlink', link: '/bin/busybox', mode: 0o777 },
    file(
      'etc/passwd',
      'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\nharbour:x:1000:1000::/home:/bin/sh\n',
    ),
    file('etc/group', 'root:x:0:\ntty:x:5:\nnobody:x:65534:\nharbour:x:1000:\nstaff:x:50:harbour\n'),
    file('etc/hosts', '127.0.0.1 localhost\n'),
  ];
}

/** A real image out of the machine's own static busybox; throws a line that says what to install where there is none. */
export function busyboxImage({ extraLayers = [], config = {} } = {}) {
  const busybox = findBusybox();
  if (busybox === undefined) throw new Error('no static busybox on this machine: install the package busybox-static');
  return makeImage({
    layers: [busyboxEntries(busybox), ...extraLayers],
    config: { Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], Cmd: ['sh'], ...config },
  });
}

/**
 * Uploads an image or index to `registry` (`http://127.0.0.1:5000`) as `repository:tag`.
 * `ca` trusts a certificate, `auth` is `user:password` for Basic.
 */
export async function pushImage(registry, repository, tag, image, { ca, auth } = {}) {
  const base = `${registry}/v2/${repository}`;
  const send = (method, url, body, headers = {}) => request(method, url, { body, headers, ca, auth });
  const pushBlobs = async ({ blobs }) => {
    for (const [digest, bytes] of blobs) {
      const begun = await send('POST', `${base}/blobs/uploads/`);
      const location = new URL(begun.headers.location ?? '', `${base}/`);
      location.searchParams.set('digest', digest);
      await send('PUT', location.href, bytes, { 'content-type': 'application/octet-stream' });
    }
  };
  for (const one of image.images ?? [image]) {
    await pushBlobs(one);
    if (one !== image)
      await send('PUT', `${base}/manifests/${one.target.digest}`, one.manifest, {
        'content-type': one.target.mediaType,
      });
  }
  await send('PUT', `${base}/manifests/${tag}`, image.manifest, { 'content-type': image.target.mediaType });
}

function request(method, url, { body, headers, ca, auth }) {
  const { promise, resolve, reject } = deferred();
  const { request: open } = url.startsWith('https:') ? https : http;
  const length = { 'content-length': String(body?.length ?? 0) };
  const outgoing = open(url, { method, headers: { ...length, ...headers }, ca, auth, agent: false }, (response) => {
    const chunks = [];
    response.on('data', (chunk) => chunks.push(chunk));
    response.on('error', reject);
    response.on('end', () => {
      const { statusCode = 0 } = response;
      if (statusCode >= 200 && statusCode < 300) resolve({ headers: response.headers });
      else reject(new Error(`${method} ${url}: status ${statusCode}: ${Buffer.concat(chunks).toString().trim()}`));
    });
  });
  outgoing.setTimeout(30_000, () => outgoing.destroy(new Error(`${method} ${url}: no answer within 30 seconds`)));
  outgoing.on('error', reject);
  outgoing.end(body);
  return promise;
}

/** Promise.withResolvers, which Node 20 does not have. */
function deferred() {
  let resolve;
  let reject;
  const promise = new Promise((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
