import { fromBinary } from '@bufbuild/protobuf';
import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import type { PlatformWords } from '#base/platforms.ts';
import { Transfer } from '#proto/gen/containerd/services/transfer/v1/transfer_pb.ts';
import { ImageStoreSchema } from '#proto/gen/containerd/types/transfer/imagestore_pb.ts';
import {
  ImageExportStreamSchema,
  ImageImportStreamSchema,
} from '#proto/gen/containerd/types/transfer/importexport_pb.ts';
import { ProgressSchema, type Progress } from '#proto/gen/containerd/types/transfer/progress_pb.ts';
import {
  AuthRequestSchema,
  AuthResponseSchema,
  AuthType,
  HTTPDebug,
  OCIRegistrySchema,
} from '#proto/gen/containerd/types/transfer/registry_pb.ts';
import type { Containerd } from '../containerd.ts';
import { TarTail } from './tar-tail.ts';
import { holds, receiveBytes, RemoteStream, sendBytes, wrap } from './remote-stream.ts';

export type { Progress };

type Wrapped = ReturnType<typeof wrap>;

/** One end of a transfer, and what we have to do at it while the transfer runs. */
export interface End {
  readonly any: Wrapped;
  /** Runs beside the transfer; a failure breaks it off. */
  readonly work?: Promise<void>;
  /** Resolves when all that a finished transfer sent has arrived. */
  readonly rest?: () => Promise<void>;
}

export interface StoreOptions {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** None: all. */
  readonly platforms?: readonly PlatformWords[];
  readonly allMetadata?: boolean;
  readonly references?: readonly {
    readonly name: string;
    readonly isPrefix?: boolean;
    readonly allowOverwrite?: boolean;
    readonly addDigest?: boolean;
    readonly skipNamedDigest?: boolean;
  }[];
  readonly unpacks?: readonly { readonly platform: PlatformWords; readonly snapshotter: string }[];
}

const platformMessage = (platform: PlatformWords) => ({
  os: platform.os,
  architecture: platform.architecture,
  variant: platform.variant ?? '',
  osVersion: platform['os.version'] ?? '',
});

/** Images in the daemon's store: where a transfer takes them from, or brings them to. */
export const imageStore = (options: StoreOptions): End => ({
  any: wrap(ImageStoreSchema, {
    name: options.name,
    labels: { ...options.labels },
    platforms: (options.platforms ?? []).map(platformMessage),
    allMetadata: options.allMetadata ?? false,
    extraReferences: (options.references ?? []).map((reference) => ({ ...reference })),
    unpacks: (options.unpacks ?? []).map(({ platform, snapshotter }) => ({
      platform: platformMessage(platform),
      snapshotter,
    })),
  }),
});

export interface Credentials {
  readonly username: string;
  readonly secret: string;
}

export interface RegistryOptions {
  readonly reference: string;
  /** None: the daemon asks with what it knows itself. */
  readonly credentials?: Credentials | undefined;
  readonly hostDir?: string | undefined;
  readonly scheme?: string | undefined;
  readonly dump?: boolean;
  readonly trace?: boolean;
  /** Gets the log of the HTTP requests, where `dump` or `trace` asked for one. */
  readonly onLog?: (text: Uint8Array) => void;
}

/** An image at a registry, with which the daemon speaks. Where it needs credentials it asks us for them. */
export async function registryEnd(door: Containerd, options: RegistryOptions, undo: DisposableStack): Promise<End> {
  const { reference, credentials, hostDir = '', scheme = '', dump = false, trace = false, onLog } = options;
  const auth = credentials === undefined ? undefined : undo.use(await openStream(door, 'creds'));
  if (auth !== undefined && credentials !== undefined) void answerAuth(auth, reference, credentials).catch(() => {});
  const logs = onLog !== undefined && (dump || trace) ? undo.use(await openStream(door, 'http-logs')) : undefined;
  if (logs !== undefined && onLog !== undefined) void pass(receiveBytes(logs), onLog).catch(() => {});
  const httpDebug =
    dump && trace ? HTTPDebug.BOTH : dump ? HTTPDebug.DEBUG : trace ? HTTPDebug.TRACE : HTTPDebug.DISABLED;
  return {
    any: wrap(OCIRegistrySchema, {
      reference,
      resolver: {
        authStream: auth?.id ?? '',
        hostDir,
        defaultScheme: scheme,
        httpDebug,
        logsStream: logs?.id ?? '',
      },
    }),
  };
}

async function pass(data: AsyncIterable<Uint8Array>, sink: (data: Uint8Array) => void): Promise<void> {
  for await (const piece of data) sink(piece);
}

/** Gives the credentials for the image that they are for, and nothing for any other. */
async function answerAuth(stream: RemoteStream, reference: string, given: Credentials): Promise<void> {
  for await (const any of stream.receive()) {
    if (!holds(any, AuthRequestSchema)) continue;
    const ours = fromBinary(AuthRequestSchema, any.value).reference === reference;
    const { username, secret } = ours ? given : { username: '', secret: '' };
    const authType = username === '' ? AuthType.REFRESH : AuthType.CREDENTIALS;
    stream.send(wrap(AuthResponseSchema, { authType, username, secret }));
  }
}

/** A tar archive that we send. */
export async function importEnd(
  door: Containerd,
  data: AsyncIterable<Uint8Array>,
  options: { readonly compress: boolean },
  undo: DisposableStack,
): Promise<End> {
  const stream = undo.use(await openStream(door, 'import'));
  return {
    any: wrap(ImageImportStreamSchema, { stream: stream.id, forceCompress: options.compress }),
    work: sendBytes(stream, data),
  };
}

export interface ExportOptions {
  readonly platforms: readonly PlatformWords[];
  readonly allPlatforms: boolean;
  readonly skipManifestJson: boolean;
  readonly skipNonDistributable: boolean;
}

/** A tar archive that we receive. */
export async function exportEnd(
  door: Containerd,
  sink: (data: Uint8Array) => Promise<void>,
  options: ExportOptions,
  undo: DisposableStack,
): Promise<End> {
  const stream = undo.use(await openStream(door, 'export'));
  const tail = new TarTail();
  const receive = async (): Promise<void> => {
    for await (const piece of receiveBytes(stream)) {
      await sink(piece);
      tail.push(piece);
    }
  };
  const received = receive();
  return {
    any: wrap(ImageExportStreamSchema, {
      stream: stream.id,
      platforms: options.platforms.map(platformMessage),
      allPlatforms: options.allPlatforms,
      skipCompatibilityManifest: options.skipManifestJson,
      skipNonDistributable: options.skipNonDistributable,
    }),
    work: received,
    rest: () => Promise.race([received, tail.ended()]),
  };
}

const openStream = (door: Containerd, purpose: string): Promise<RemoteStream> =>
  RemoteStream.open(door, purpose).catch(withoutService);

/** How long the last words about the progress may take after the transfer is over. */
const lastWords = 1000;

/** Moves images from one end to the other. The daemon does it; we hear how it goes on. */
export async function transfer(
  door: Containerd,
  source: End,
  destination: End,
  onProgress?: (progress: Progress) => void,
): Promise<void> {
  using undo = new DisposableStack();
  const progress = onProgress === undefined ? undefined : undo.use(await openStream(door, 'progress'));
  const heard = progress === undefined ? undefined : hear(progress, onProgress!).catch(() => {});
  const stop = new AbortController();
  const call = door
    .service(Transfer)
    .transfer(
      { source: source.any, destination: destination.any, options: { progressStream: progress?.id ?? '' } },
      { signal: stop.signal },
    );
  const works = [source.work, destination.work].filter((work) => work !== undefined);
  const broken = works.map((work) =>
    work.then(
      () => new Promise<never>(() => {}),
      (error: unknown) => {
        stop.abort(error);
        throw error;
      },
    ),
  );
  await Promise.race([call.catch(withoutService), ...broken]);
  await Promise.all([source.rest?.(), destination.rest?.()]);
  if (heard !== undefined)
    await Promise.race([heard, new Promise((resolve) => setTimeout(resolve, lastWords).unref())]);
}

/** containerd has it since 1.7. */
const withoutService = (error: unknown): never => {
  if (codeOf(error) !== 'unimplemented' || !/unknown (?:service|method)/.test(messageOf(error))) throw error;
  throw new HakoError('unimplemented', 'this daemon has no transfer service (containerd before 1.7 has none)', error);
};

async function hear(stream: RemoteStream, onProgress: (progress: Progress) => void): Promise<void> {
  for await (const any of stream.receive())
    if (holds(any, ProgressSchema)) onProgress(fromBinary(ProgressSchema, any.value));
}
