/** What a manifest may be: OCI image-spec (media-types.md) and Docker's image manifest version 2, schema 2. */
export const manifestTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
] as const;

export const isManifestType = (mediaType: string): boolean => (manifestTypes as readonly string[]).includes(mediaType);

/** Docker's old, signed manifests. Nobody writes them any more, and their layers cannot be verified as ours are. */
export const isSchema1 = (mediaType: string): boolean =>
  /^application\/vnd\.docker\.distribution\.manifest\.v1(?:\+json|\+prettyjws)?$/.test(mediaType);

/** The type that a manifest's own words give it, for registries that answer with a general one. Undefined when it is none. */
export function manifestTypeOf(text: string): string | undefined {
  let body: { schemaVersion?: unknown; mediaType?: unknown; manifests?: unknown; layers?: unknown; config?: unknown };
  try {
    body = JSON.parse(text) as typeof body;
  } catch {
    return undefined;
  }
  if (typeof body !== 'object' || body === null) return undefined;
  if (body.schemaVersion === 1) return 'application/vnd.docker.distribution.manifest.v1+json';
  if (typeof body.mediaType === 'string') return body.mediaType;
  if (Array.isArray(body.manifests)) return manifestTypes[0];
  return Array.isArray(body.layers) && typeof body.config === 'object' ? manifestTypes[1] : undefined;
}
