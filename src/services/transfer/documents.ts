import type { Descriptor, Platform } from '#core/images.ts';

/** Documents that we write. Order of fields and escapes are those of containerd's, so that equal images get equal digests. */

/** The manifest of an image that had none. */
export function dockerManifest(mediaType: string, config: Descriptor, layers: readonly Descriptor[]): Uint8Array {
  return written({ schemaVersion: 2, mediaType, config: fieldsOf(config), layers: layers.map(fieldsOf) });
}

/** An index over images; containerd's import writes it without a media type, its export with one. */
export function indexDocument(manifests: readonly Descriptor[], mediaType?: string): Uint8Array {
  const list = manifests.length === 0 ? null : manifests.map(fieldsOf);
  return written({ schemaVersion: 2, ...(mediaType !== undefined && { mediaType }), manifests: list });
}

/** Go escapes what HTML could misread. */
export function written(document: unknown): Uint8Array {
  const text = JSON.stringify(document).replaceAll(
    /[<>&\u2028\u2029]/g,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return Buffer.from(text);
}

function fieldsOf({ mediaType, digest, size, annotations, platform, artifactType }: Descriptor): object {
  return {
    mediaType,
    digest,
    size,
    ...(annotations !== undefined && Object.keys(annotations).length > 0 && { annotations: sorted(annotations) }),
    ...(platform !== undefined && { platform: platformFields(platform) }),
    ...(artifactType !== undefined && artifactType !== '' && { artifactType }),
  };
}

const sorted = (table: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(table).toSorted(([one], [other]) => (one < other ? -1 : 1)));

const platformFields = ({ os, architecture, variant, 'os.version': version }: Platform): object => ({
  architecture,
  os,
  ...(version !== undefined && version !== '' && { 'os.version': version }),
  ...(variant !== undefined && variant !== '' && { variant }),
});
