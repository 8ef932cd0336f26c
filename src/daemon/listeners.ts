import { readFileSync } from 'node:fs';
import type { PeerCertificate } from 'node:tls';
import { HakoError, messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { containerdDoor } from '#doors/containerd/door.ts';
import { containerdTtrpcDoor } from '#doors/containerd/ttrpc.ts';
import type { Services } from '#services/services.ts';
import { GrpcServer, type TlsOptions } from '#wire/grpc-server.ts';
import { TtrpcServer } from '#wire/ttrpc-server.ts';
import type { Config } from './config/schema.ts';
import { serveDebug } from './debug.ts';
import { servicePlugins } from './service-plugins.ts';
import { openSocket } from './sockets.ts';

interface DoorParts {
  readonly config: Config;
  readonly services: Services;
  readonly logger: Logger;
}

/** Opens containerd's sockets: gRPC, ttrpc, and where the configuration wants them TCP and debug. `undo` closes them. */
export async function openContainerdDoor(undo: AsyncDisposableStack, parts: DoorParts): Promise<void> {
  const { config, services, logger } = parts;
  const { grpc, ttrpc, debug } = config;
  const patience = config.timeouts['hakobune.timeout.shutdown'];
  const limits = { receive: grpc.max_recv_message_size, send: grpc.max_send_message_size };
  const api = containerdDoor(services);
  services.introspection.add(servicePlugins(api, config));

  const shims = new TtrpcServer(logger);
  containerdTtrpcDoor(services, shims);
  await openSocket(ttrpc.address, ttrpc, (path) => shims.listen({ path }));
  undo.defer(() => shims.close());

  const server = new GrpcServer(api, logger, { limits });
  await openSocket(grpc.address, grpc, (path) => server.listen(path));
  undo.defer(() => server.close(patience));

  if (grpc.tcp_address !== '') {
    const { host, port } = parseTcpAddress(grpc.tcp_address);
    const tls = tlsOptions(grpc);
    const tcp = new GrpcServer(api, logger, { limits, ...(tls === undefined ? {} : { tls }) });
    const opened = await tcp.listenTcp(host, port);
    undo.defer(() => tcp.close(patience));
    logger.log('info', 'serving gRPC over TCP', { host, port: opened, tls: tls !== undefined });
    if (grpc.tcp_tls_ca === '')
      logger.log('warn', `grpc.tcp_address: whoever reaches ${grpc.tcp_address} is root here: set grpc.tcp_tls_ca`);
  }

  if (debug.address !== '') {
    const profiles = serveDebug();
    await openSocket(debug.address, debug, (path) => profiles.listen(path));
    undo.defer(() => profiles.close());
  }
}

/** `host:port` as Go reads it: the host may be missing, and stands in brackets when it has colons. */
export function parseTcpAddress(address: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    const message = `grpc.tcp_address is ${JSON.stringify(address)}: must be host:port, such as "127.0.0.1:1234"`;
    throw new HakoError('invalid-argument', message);
  }
  return { host: match[1] ?? match[2] ?? '', port };
}

/** Undefined where there is no certificate: then TCP is plain, as in containerd. */
export function tlsOptions(grpc: Config['grpc']): TlsOptions | undefined {
  const { tcp_tls_cert: cert, tcp_tls_key: key, tcp_tls_ca: ca, tcp_tls_common_name: name } = grpc;
  if (cert === '') {
    // Whoever names an authority means that not everybody may come in.
    const idle = [key, ca, name].some((value) => value !== '');
    if (idle)
      throw new HakoError('invalid-argument', 'grpc.tcp_tls_cert is missing, although other TLS keys are given');
    return undefined;
  }
  if (key === '')
    throw new HakoError('invalid-argument', 'grpc.tcp_tls_key is missing, although a certificate is given');
  if (ca === '' && name !== '')
    throw new HakoError('invalid-argument', 'grpc.tcp_tls_common_name is given without grpc.tcp_tls_ca');
  return {
    cert: read('tcp_tls_cert', cert),
    key: read('tcp_tls_key', key),
    minVersion: 'TLSv1.2',
    ...(ca === '' ? {} : { ca: read('tcp_tls_ca', ca), requestCert: true, rejectUnauthorized: true }),
    ...(name === '' ? {} : { admits: ({ subject }: PeerCertificate) => subject?.CN === name }),
  };
}

function read(key: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new HakoError('invalid-argument', `grpc.${key}: ${messageOf(error)}`, error);
  }
}
