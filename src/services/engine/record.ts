import { HakoError } from '#base/errors.ts';
import type { Any } from '#core/any.ts';
import type { Container } from '#core/containers.ts';
import type { ContainerConfig } from './config.ts';
import type { Json } from './fields.ts';

/** Key of `extensions` and type of its Any. */
export const recordKey = 'hakobune.io/docker';

/** A place where something is put into a container, as inspect shows it. */
export interface MountPoint {
  readonly Type: 'bind' | 'volume' | 'tmpfs';
  /** Of a volume. */
  readonly Name?: string;
  readonly Source: string;
  readonly Destination: string;
  readonly Driver?: string;
  readonly Mode: string;
  readonly RW: boolean;
  readonly Propagation: string;
  /** Made for this container alone: `rm -v` and `--rm` take it along. */
  readonly Anonymous?: boolean;
}

/** What Docker knows of a container and containerd does not. Kept with it, as JSON, so that no second store can differ. */
export interface DockerRecord {
  readonly version: 1;
  /** Where the container lives: what hangs on its task must find it. */
  readonly namespace: string;
  /** RFC 3339. */
  readonly created: string;
  /** Digest of the image's configuration: Docker's image id. */
  readonly imageId: string;
  readonly platform: string;
  readonly config: ContainerConfig;
  readonly hostConfig: Json;
  readonly networkingConfig: Json;
  readonly mounts: readonly MountPoint[];
}

export const encodeRecord = (record: DockerRecord): Any => ({
  typeUrl: recordKey,
  value: Buffer.from(JSON.stringify(record)),
});

/** undefined for a container that came in at another door. data-loss when somebody overwrote it with something else. */
export function recordOf(container: Container): DockerRecord | undefined {
  const any = container.extensions[recordKey];
  if (any === undefined) return undefined;
  try {
    const record = JSON.parse(Buffer.from(any.value).toString('utf8')) as DockerRecord;
    if (record.version === 1) return record;
  } catch (error) {
    throw new HakoError(
      'data-loss',
      `container "${container.id}": its extension "${recordKey}" is not readable`,
      error,
    );
  }
  throw new HakoError(
    'data-loss',
    `container "${container.id}": its extension "${recordKey}" is of an unknown version`,
  );
}
