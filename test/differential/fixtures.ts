import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { busyboxImage, makeImage, makeIndex, pushImage, tar, type Entry, type MadeImage } from '../support/images.ts';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const file = (name: string, text: string): Entry => ({ name, data: Buffer.from(text), mode: 0o644 });

/** An image too small to wait for: two layers, the second of which hides a file of the first. */
const smallImage = (platform?: { os: string; architecture: string }) =>
  makeImage({
    layers: [
      [{ name: 'etc/', type: 'dir', mode: 0o755 }, file('etc/cargo', 'tea\n'), file('etc/ballast', 'stone\n')],
      [file('etc/.wh.ballast', ''), file('etc/port', `${platform?.architecture ?? 'here'}\n`)],
    ],
    config: { Env: ['DECK=1'], Cmd: ['/bin/true'], Labels: { ship: 'hako' } },
    ...(platform === undefined ? {} : { platform }),
  });

/** What all scenarios may use: images in the registry, archives and blobs in a directory. */
export async function makeFixtures(dir: string, registry: string): Promise<void> {
  mkdirSync(dir, { recursive: true });
  const put = (name: string, bytes: Buffer | string): void => writeFileSync(join(dir, name), bytes);
  const small = smallImage();
  const [amd64, arm64] = ['amd64', 'arm64'].map((architecture) => smallImage({ os: 'linux', architecture }));
  await pushImage(registry, 'busybox', 'latest', busyboxImage());
  await pushImage(registry, 'small', '1', small);
  await pushImage(registry, 'multi', '1', makeIndex([amd64!, arm64!]));
  await pushImage(registry, 'docker', '1', asDocker(smallImage({ os: 'linux', architecture: 'amd64' })));
  put('small.digest', small.target.digest);
  put('config.digest', small.config.digest);
  put('layer.digest', small.layers[0]!.digest);
  put('layer2.digest', small.layers[1]!.digest);
  put('manifest.json', small.manifest);
  put('docker.tar', dockerArchive('example.com/docker/small:1', [file('a', 'one\n')], [file('b', 'two\n')]));
  // For a reference that sees no registry.
  put('box.tar', ociArchive('box', busyboxImage()));
  put('empty.tar', tar([]));
  put('garbage.tar', 'no archive at all');
}

/** The same image under the media types that Docker used before there was a standard. */
function asDocker(image: MadeImage): MadeImage {
  const docker = 'application/vnd.docker';
  const manifest = Buffer.from(
    image.manifest
      .toString()
      .replaceAll('application/vnd.oci.image.manifest.v1+json', `${docker}.distribution.manifest.v2+json`)
      .replaceAll('application/vnd.oci.image.config.v1+json', `${docker}.container.image.v1+json`)
      .replaceAll('application/vnd.oci.image.layer.v1.tar+gzip', `${docker}.image.rootfs.diff.tar.gzip`),
  );
  const mediaType = `${docker}.distribution.manifest.v2+json`;
  return { ...image, manifest, target: { mediaType, digest: `sha256:${sha256(manifest)}`, size: manifest.length } };
}

/** An image layout in an archive, with a name for `ctr images import`. */
function ociArchive(name: string, image: MadeImage): Buffer {
  const annotations = { 'io.containerd.image.name': name };
  const manifests = [{ ...image.target, platform: image.platform, annotations }];
  return tar([
    file('oci-layout', '{"imageLayoutVersion":"1.0.0"}'),
    file('index.json', JSON.stringify({ schemaVersion: 2, manifests })),
    ...[...image.blobs, [image.target.digest, image.manifest] as const].map(([digest, data]) => ({
      ...{ name: `blobs/${digest.replace(':', '/')}`, data, mode: 0o644 },
    })),
  ]);
}

/** An archive as `docker save` made it before it knew OCI. */
function dockerArchive(name: string, ...layers: Entry[][]): Buffer {
  const tars = layers.map((entries) => tar(entries));
  const config = Buffer.from(
    JSON.stringify({
      ...{ architecture: 'amd64', os: 'linux', created: '2024-01-01T00:00:00Z', config: { Cmd: ['/bin/true'] } },
      rootfs: { type: 'layers', diff_ids: tars.map((bytes) => `sha256:${sha256(bytes)}`) },
    }),
  );
  const configName = `${sha256(config)}.json`;
  const names = tars.map((bytes) => `${sha256(bytes)}/layer.tar`);
  const manifest = JSON.stringify([{ Config: configName, RepoTags: [name], Layers: names }]);
  return tar([
    { name: configName, data: config, mode: 0o644 },
    ...tars.map((data, at) => ({ name: names[at]!, data, mode: 0o644 })),
    file('manifest.json', manifest),
  ]);
}
