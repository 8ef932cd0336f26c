import { HakoError } from '#base/errors.ts';

/** What is said about layers by their media types (OCI image-spec, media-types.md, and Docker's older ones). */

export const tarMediaType = 'application/vnd.oci.image.layer.v1.tar';

const dockerTypes = /^application\/vnd\.docker\.image\.rootfs\.(?:diff|foreign\.diff)\.tar(?:\.(gzip|zstd))?$/;

/** How a layer of this type is to be packed. unimplemented for a type that is none of a tar. */
export function packingOf(mediaType: string): 'gzip' | 'zstd' | 'none' {
  const oci = /^application\/vnd\.oci\.image\.layer\.v1\.tar(?:\+(gzip|zstd))?$/.exec(mediaType);
  const match = oci ?? /^application\/vnd\.docker\.image\.rootfs\.diff\.tar(?:\.(gzip|zstd))?$/.exec(mediaType);
  if (match === null)
    throw new HakoError('unimplemented', `unsupported diff media type: ${mediaType}: not implemented`);
  return (match[1] as 'gzip' | 'zstd' | undefined) ?? 'none';
}

/**
 * Whether a layer of this type is a tar that can be unpacked as it is, compressed or not. Which of the two is told by its
 * bytes: media types are often wrong about that.
 */
export function isUnpackable(mediaType: string): boolean {
  const [base = '', ...extensions] = mediaType.split('+');
  if (extensions.includes('encrypted')) return false;
  return (
    base === tarMediaType ||
    base === 'application/vnd.oci.image.layer.nondistributable.v1.tar' ||
    (dockerTypes.test(base) && extensions.length === 0)
  );
}
