import type { Call } from '#base/call.ts';
import { codeless, codeOf, HakoError, invalid, messageOf, unimplemented } from '#base/errors.ts';
import { Locks } from '#base/locks.ts';
import type { Any } from '#core/any.ts';
import type { Platform } from '#core/images.ts';
import type { Authorization, RegistryOptions } from '#core/registry.ts';
import type { Platform as PlatformMessage } from '#proto/gen/containerd/types/platform_pb.ts';
import { ImageStoreSchema, type ImageStore } from '#proto/gen/containerd/types/transfer/imagestore_pb.ts';
import {
  ImageExportStreamSchema,
  ImageImportStreamSchema,
} from '#proto/gen/containerd/types/transfer/importexport_pb.ts';
import {
  AuthRequestSchema,
  AuthResponseSchema,
  AuthType,
  HTTPDebug,
  OCIRegistrySchema,
  type RegistryResolver,
} from '#proto/gen/containerd/types/transfer/registry_pb.ts';
import type { ObjectStream, Streaming } from '#services/streaming.ts';
import type { StoreEnd, TransferEnd } from '#services/transfer/ends.ts';
import { isKnown, packed, unpacked } from './any.ts';
import { ByteSender, LogSender, receiveBytes } from './byte-stream.ts';

/** How long after a transfer its client may go on sending, in milliseconds. */
const lateClose = 1000;

/** One end of a transfer, with the streams that belong to it. */
export interface OpenEnd extends AsyncDisposable {
  readonly end: TransferEnd;
  /** Lets a client have the last of what was sent. */
  readonly finish?: () => Promise<void>;
}

/**
 * Reads an end and takes its streams. unimplemented for a message that is no end, unknown for what is no message, and
 * not-found for a stream that nobody has opened.
 */
export function readEnd(any: Any, call: Call, streaming: Streaming): OpenEnd {
  switch (any.typeUrl) {
    case OCIRegistrySchema.typeName:
      return registryEnd(any, call, streaming);
    case ImageStoreSchema.typeName:
      return { end: storeEnd(unpacked(ImageStoreSchema, any)), [Symbol.asyncDispose]: async () => {} };
    case ImageImportStreamSchema.typeName:
      return importEnd(any, call, streaming);
    case ImageExportStreamSchema.typeName:
      return exportEnd(any, call, streaming);
    default:
      if (isKnown(any)) throw unimplemented(`a transfer with ${any.typeUrl}`);
      throw codeless(`type with url ${any.typeUrl}: not found`);
  }
}

function storeEnd(message: ImageStore): StoreEnd {
  return {
    kind: 'store',
    name: message.name,
    labels: message.labels,
    platforms: message.platforms.map(fromPlatform),
    allMetadata: message.allMetadata,
    manifestLimit: message.manifestLimit,
    references: message.extraReferences.map(({ name, isPrefix, allowOverwrite, addDigest, skipNamedDigest }) => ({
      name,
      isPrefix,
      allowOverwrite,
      addDigest,
      skipNamedDigest,
    })),
    unpacks: message.unpacks.map(({ platform, snapshotter }) => ({
      platform: platform === undefined ? { os: '', architecture: '' } : fromPlatform(platform),
      snapshotter,
    })),
  };
}

const fromPlatform = ({ os, architecture, variant, osVersion }: PlatformMessage): Platform => ({
  os,
  architecture,
  ...(variant !== '' && { variant }),
  ...(osVersion !== '' && { 'os.version': osVersion }),
});

function importEnd(any: Any, call: Call, streaming: Streaming): OpenEnd {
  const { stream: id, mediaType, forceCompress } = unpacked(ImageImportStreamSchema, any);
  const stream = streaming.get(call, id);
  return {
    end: {
      kind: 'import',
      bytes: receiveBytes(stream, call.signal),
      compressed: mediaType === '',
      forceCompress,
    },
    // Clients are still sending what comes after the archive, and complain when nobody listens.
    [Symbol.asyncDispose]: async () => void setTimeout(() => stream.close(), lateClose).unref(),
  };
}

function exportEnd(any: Any, call: Call, streaming: Streaming): OpenEnd {
  const message = unpacked(ImageExportStreamSchema, any);
  const sender = new ByteSender(streaming.get(call, message.stream), call.signal);
  return {
    end: {
      kind: 'export',
      write: (bytes) => sender.write(bytes),
      platforms: message.platforms.map(fromPlatform),
      allPlatforms: message.allPlatforms,
      skipDockerManifest: message.skipCompatibilityManifest,
      skipNonDistributable: message.skipNonDistributable,
    },
    finish: () => sender.end(),
    [Symbol.asyncDispose]: async () => sender.close(),
  };
}

function registryEnd(any: Any, call: Call, streaming: Streaming): OpenEnd {
  const { reference, resolver } = unpacked(OCIRegistrySchema, any);
  const open = (id: string | undefined): ObjectStream | undefined =>
    id === undefined || id === '' ? undefined : streaming.get(call, id);
  const logins = open(resolver?.authStream);
  const id = resolver?.logsStream ?? '';
  const logs = id === '' ? undefined : new LogSender(findLogs(streaming, call, id), call.signal);
  const wanted = resolver?.httpDebug === HTTPDebug.DEBUG || resolver?.httpDebug === HTTPDebug.BOTH;
  const options: RegistryOptions = {
    ...registryOptions(resolver),
    ...(logins !== undefined && { authorize: askingClient(logins) }),
    ...(logs !== undefined && wanted && { observe: (text) => logs.write(text) }),
  };
  const close = async (): Promise<void> => {
    logins?.close();
    await logs?.end();
  };
  return { end: { kind: 'registry', reference, options }, [Symbol.asyncDispose]: close };
}

function registryOptions(resolver: RegistryResolver | undefined): RegistryOptions {
  if (resolver === undefined) return {};
  const { headers, hostDir, defaultScheme } = resolver;
  if (defaultScheme !== '' && defaultScheme !== 'http' && defaultScheme !== 'https')
    throw invalid(`default_scheme "${defaultScheme.slice(0, 32)}" is neither http nor https: invalid argument`);
  return {
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]])),
    ...(hostDir !== '' && { hostsDir: hostDir }),
    ...(defaultScheme !== '' && { defaultScheme }),
  };
}

/** containerd says which of the two streams it misses. */
function findLogs(streaming: Streaming, call: Call, id: string): ObjectStream {
  try {
    return streaming.get(call, id);
  } catch (error) {
    throw new HakoError(codeOf(error), `failed to get stream for HTTP debug logs: ${messageOf(error)}`, error);
  }
}

/** Asks one thing after the other: the stream has no way to say which question an answer is for. */
function askingClient(stream: ObjectStream): NonNullable<RegistryOptions['authorize']> {
  const turns = new Locks();
  return async (host, reference, challenges, signal) => {
    using _turn = await turns.hold('', signal);
    await stream.send(packed(AuthRequestSchema, { host, reference, wwwauthenticate: [...challenges] }));
    const answer = await stream.receive();
    return answer === undefined ? undefined : authorization(answer);
  };
}

function authorization(any: Any): Authorization {
  const { authType, secret, username } = unpacked(AuthResponseSchema, any);
  if (authType === AuthType.CREDENTIALS) return { type: 'credentials', username, secret };
  // Clients without any credentials answer with an empty secret.
  if (secret === '') return { type: 'none' };
  if (authType === AuthType.HEADER) return { type: 'header', secret };
  return authType === AuthType.REFRESH ? { type: 'refresh', secret } : { type: 'none' };
}
