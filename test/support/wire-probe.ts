import {
  connect,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { createConnection } from 'node:net';
import { gzipSync } from 'node:zlib';

/** What a server did with one request, on the wire. */
export interface Seen {
  readonly headers: Readonly<Record<string, string>>;
  /** The headers ended the stream: gRPC calls that trailers-only. */
  readonly trailersOnly: boolean;
  /** Flag and payload of each message, in hex, long ones by their length. */
  readonly messages: readonly string[];
  readonly trailers: Readonly<Record<string, string>>;
  /** The code of a reset, if there was one. */
  readonly reset?: number;
}

export interface Probe {
  readonly name: string;
  readonly path: string;
  /** Merged over those of a usual call; undefined takes one away. */
  readonly headers?: Readonly<Record<string, string | string[] | undefined>>;
  /** The raw body; an empty message by default. */
  readonly body?: Uint8Array;
  /** False leaves the sending side open. */
  readonly end?: boolean;
}

/** One gRPC message with its prefix. */
export function frame(payload: Uint8Array, flag = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}

/** A field of a protobuf message with bytes in it. */
export function field(number: number, value: Uint8Array | string): Buffer {
  const bytes = Buffer.from(value);
  const varint: number[] = [];
  for (let rest = bytes.length; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) {
      varint.push(rest);
      break;
    }
    varint.push((rest % 128) | 128);
  }
  return Buffer.concat([Buffer.from([(number << 3) | 2]), Buffer.from(varint), bytes]);
}

export function openSession(socketPath: string): ClientHttp2Session {
  const session = connect('http://localhost', { createConnection: () => createConnection(socketPath) });
  session.on('error', () => {});
  return session;
}

/** Sends one request and tells what came back, after half a second also of what has not ended. */
export function run(session: ClientHttp2Session, probe: Probe): Promise<Seen> {
  const wanted: Record<string, string | string[] | undefined> = {
    ':method': 'POST',
    ':path': probe.path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...probe.headers,
  };
  const headers: OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(wanted)) if (value !== undefined) headers[name] = value;
  const stream = session.request(headers, { endStream: false });
  const seen = watch(stream);
  const body = probe.body ?? frame(new Uint8Array());
  stream.write(body);
  if (probe.end !== false) stream.end();
  return seen;
}

function watch(stream: ClientHttp2Stream): Promise<Seen> {
  let headers = {};
  let trailers = {};
  let trailersOnly = false;
  const chunks: Buffer[] = [];
  stream.on('response', (_, flags, raw) => {
    headers = pairs(raw);
    trailersOnly = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
  });
  stream.on('trailers', (_, __, raw) => (trailers = pairs(raw)));
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('error', () => {});
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      const code = stream.rstCode ?? 0;
      const messages = cut(Buffer.concat(chunks));
      resolve({ headers, trailersOnly, messages, trailers, ...(code === 0 ? {} : { reset: code }) });
    };
    const timer = setTimeout(() => {
      done();
      stream.close(constants.NGHTTP2_CANCEL);
    }, 700);
    stream.once('close', done);
  });
}

/** Names and values in the order in which they came; Node adds a name with a zero behind it, which is none. */
function pairs(raw: string[]): Record<string, string> {
  const out: Record<string, string> = {};
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [name = '', value = ''] = raw.slice(at);
    if (name !== 'date') out[name] = name in out ? `${out[name]}, ${value}` : value;
  }
  return out;
}

function cut(bytes: Buffer): string[] {
  const messages: string[] = [];
  for (let at = 0; at + 5 <= bytes.length;) {
    const length = bytes.readUInt32BE(at + 1);
    const payload = bytes.subarray(at + 5, at + 5 + length);
    messages.push(`${bytes[at]}:${length > 64 ? `<${length} bytes>` : payload.toString('hex')}`);
    at += 5 + length;
  }
  return messages;
}

const version = '/containerd.services.version.v1.Version/Version';
const namespaces = '/containerd.services.namespaces.v1.Namespaces';
const containers = '/containerd.services.containers.v1.Containers';
const content = '/containerd.services.content.v1.Content';
const events = '/containerd.services.events.v1.Events';
const inNamespace = { 'containerd-namespace': 'probe' };
const empty = frame(new Uint8Array());
const get = (name: Uint8Array | string): Buffer => frame(field(1, name));
const nested = (depth: number): Buffer => {
  let value: Buffer = Buffer.alloc(0);
  // Value { list_value = 6 { values = 1 { … } } }, which google.protobuf nests in itself; here it is all unknown fields.
  for (let at = 0; at < depth; at++) value = field(1, value);
  return value;
};

const groups = (depth: number): Buffer => Buffer.concat([Buffer.alloc(depth, 0x7b), Buffer.alloc(depth, 0x7c)]);

/** What ends a containerd (1.6 both, 2.1 the first), and must not end us. */
export const deadly: readonly Probe[] = [
  { name: 'forwarding nothing', path: `${events}/Forward` },
  {
    name: 'publishing without a payload',
    path: `${events}/Publish`,
    headers: inNamespace,
    body: frame(field(1, '/probe')),
  },
];

/** Requests as clients send them, and as nobody should. */
export const probes: readonly Probe[] = [
  { name: 'a unary call', path: version },
  { name: 'no te header', path: version, headers: { te: undefined } },
  { name: 'content type with +proto', path: version, headers: { 'content-type': 'application/grpc+proto' } },
  { name: 'content type with +json', path: version, headers: { 'content-type': 'application/grpc+json' } },
  { name: 'content type with a parameter', path: version, headers: { 'content-type': 'application/grpc;x=y' } },
  { name: 'content type in capitals', path: version, headers: { 'content-type': 'Application/GRPC' } },
  { name: 'content type of another name', path: version, headers: { 'content-type': 'application/grpcx' } },
  { name: 'content type grpc-web', path: version, headers: { 'content-type': 'application/grpc-web' } },
  { name: 'content type json', path: version, headers: { 'content-type': 'application/json' } },
  { name: 'no content type', path: version, headers: { 'content-type': undefined } },
  { name: 'method PUT', path: version, headers: { ':method': 'PUT' } },
  { name: 'method GET', path: version, headers: { ':method': 'GET' } },
  { name: 'unknown service', path: '/no.Service/Method' },
  { name: 'unknown method', path: '/containerd.services.version.v1.Version/Nothing' },
  { name: 'path without a method', path: '/containerd.services.version.v1.Version' },
  { name: 'path with an empty method', path: '/containerd.services.version.v1.Version/' },
  { name: 'path without a slash in front', path: 'containerd.services.version.v1.Version/Version' },
  { name: 'path of one slash', path: '/' },
  { name: 'path with two slashes', path: '//Version' },
  { name: 'path with a query', path: `${version}?x=1` },
  { name: 'path with more behind', path: `${version}/more` },
  { name: 'accepts gzip', path: version, headers: { 'grpc-accept-encoding': 'gzip' } },
  { name: 'gzip named and used', path: version, headers: { 'grpc-encoding': 'gzip' }, body: frame(gzipSync(''), 1) },
  { name: 'gzip named, not used', path: version, headers: { 'grpc-encoding': 'gzip' } },
  {
    name: 'identity named, compressed flag',
    path: version,
    headers: { 'grpc-encoding': 'identity' },
    body: frame(Buffer.alloc(0), 1),
  },
  { name: 'nothing named, compressed flag', path: version, body: frame(gzipSync(''), 1) },
  {
    name: 'unknown encoding used',
    path: version,
    headers: { 'grpc-encoding': 'foo' },
    body: frame(Buffer.from('x'), 1),
  },
  { name: 'unknown encoding not used', path: version, headers: { 'grpc-encoding': 'foo' } },
  { name: 'message flag 2', path: version, body: frame(Buffer.alloc(0), 2) },
  { name: 'no message', path: version, body: Buffer.alloc(0) },
  { name: 'two messages', path: version, body: Buffer.concat([empty, empty]) },
  { name: 'no half-close', path: version, end: false },
  { name: 'half a prefix', path: version, body: Buffer.from([0, 0]) },
  { name: 'half a message', path: version, body: Buffer.from([0, 0, 0, 0, 9, 1]) },
  { name: 'a message said to be too long', path: version, body: Buffer.from([0, 1, 0, 0, 1]), end: false },
  { name: 'a message said to be 4 GiB', path: version, body: Buffer.from([0, 255, 255, 255, 255]), end: false },
  { name: 'bytes that are no message', path: `${namespaces}/Get`, body: frame(Buffer.from([0xff])) },
  { name: 'field number 0', path: `${namespaces}/Get`, body: frame(Buffer.from([0x02, 0x00])) },
  { name: 'text that is not UTF-8', path: `${namespaces}/Get`, body: get(Buffer.from([0xff, 0xfe])) },
  {
    name: 'a map key that is not UTF-8',
    path: `${namespaces}/Create`,
    body: frame(
      field(1, Buffer.concat([field(1, 'x'), field(2, Buffer.concat([field(1, Buffer.from([0xff])), field(2, 'v')]))])),
    ),
  },
  { name: 'a length beyond the end', path: `${namespaces}/Get`, body: frame(Buffer.from([0x0a, 0x7f, 0x61])) },
  { name: 'wrong wire type', path: `${namespaces}/Get`, body: frame(Buffer.from([0x08, 0x01])) },
  { name: 'unknown fields', path: version, body: frame(Buffer.concat([field(99 % 15, 'x'), Buffer.from([0x78, 1])])) },
  { name: 'unknown field nested 200 deep', path: version, body: frame(nested(200)) },
  { name: 'groups 50 deep', path: version, body: frame(groups(50)) },
  { name: 'groups 9000 deep', path: version, body: frame(groups(9000)) },
  { name: 'groups 10001 deep', path: version, body: frame(groups(10_001)) },
  { name: 'a group without an end', path: version, body: frame(Buffer.from([0x7b])) },
  { name: 'a deadline', path: version, headers: { 'grpc-timeout': '10S' } },
  { name: 'deadline of no time', path: version, headers: { 'grpc-timeout': '0S' } },
  { name: 'deadline of 9 digits', path: version, headers: { 'grpc-timeout': '100000000S' } },
  { name: 'deadline of 8 digits in hours', path: version, headers: { 'grpc-timeout': '99999999H' } },
  { name: 'deadline without a unit', path: version, headers: { 'grpc-timeout': '10' } },
  { name: 'deadline with a wrong unit', path: version, headers: { 'grpc-timeout': '10x' } },
  { name: 'deadline below zero', path: version, headers: { 'grpc-timeout': '-1S' } },
  { name: 'deadline that is empty', path: version, headers: { 'grpc-timeout': '' } },
  { name: 'deadline of a stream passes', path: `${events}/Subscribe`, headers: { 'grpc-timeout': '100m' } },
  { name: 'an error', path: `${namespaces}/Delete`, body: get('nothing') },
  { name: 'an error about an argument', path: `${namespaces}/Create`, body: frame(field(1, field(1, '-'))) },
  { name: 'an error with quotes and more', path: `${containers}/Get`, headers: inNamespace, body: get('ü%\n"') },
  { name: 'no namespace', path: `${containers}/List` },
  { name: 'an empty namespace', path: `${containers}/List`, headers: { 'containerd-namespace': '' } },
  { name: 'a namespace that is none', path: `${containers}/List`, headers: { 'containerd-namespace': '../x' } },
  {
    name: 'two namespaces',
    path: `${containers}/Get`,
    headers: { 'x-a': ['1', '2'], 'containerd-namespace': 'a' },
    body: get('nothing'),
  },
  { name: 'a list with nothing', path: `${containers}/List`, headers: inNamespace },
  { name: 'a stream with nothing', path: `${content}/List`, headers: inNamespace },
  { name: 'a stream with a wrong filter', path: `${content}/List`, headers: inNamespace, body: frame(field(1, '==')) },
  { name: 'a stream with an error', path: `${content}/Read`, headers: inNamespace, body: frame(field(1, 'sha256:00')) },
  { name: 'subscribing', path: `${events}/Subscribe` },
  { name: 'subscribing with a wrong filter', path: `${events}/Subscribe`, body: frame(field(1, '==')) },
  { name: 'publishing without a topic', path: `${events}/Publish`, headers: inNamespace },
  {
    name: 'publishing to a wrong topic',
    path: `${events}/Publish`,
    headers: inNamespace,
    body: frame(field(1, '/a b')),
  },
  { name: 'forwarding without a namespace', path: `${events}/Forward`, body: frame(field(1, field(3, '/a'))) },
  {
    name: 'forwarding without a time',
    path: `${events}/Forward`,
    body: frame(field(1, Buffer.concat([field(2, 'a'), field(3, '/a')]))),
  },
  { name: 'a two-way stream with nothing', path: `${content}/Write`, headers: inNamespace, body: Buffer.alloc(0) },
  { name: 'a two-way stream, first message wrong', path: `${content}/Write`, headers: inNamespace },
  { name: 'binary metadata', path: version, headers: { 'x-bin': 'AAEC' } },
  { name: 'binary metadata without padding', path: version, headers: { 'x-bin': 'AAE' } },
  { name: 'binary metadata that is none', path: version, headers: { 'x-bin': '!!' } },
  { name: 'much metadata', path: version, headers: { 'x-much': 'x'.repeat(60_000) } },
  { name: 'health', path: '/grpc.health.v1.Health/Check' },
  {
    name: 'health of a service',
    path: '/grpc.health.v1.Health/Check',
    body: get('containerd.services.version.v1.Version'),
  },
  { name: 'health of nothing', path: '/grpc.health.v1.Health/Check', body: get('x') },
  { name: 'health watched', path: '/grpc.health.v1.Health/Watch' },
  { name: 'health of nothing watched', path: '/grpc.health.v1.Health/Watch', body: get('x') },
  { name: 'health listed', path: '/grpc.health.v1.Health/List' },
  {
    name: 'plugin info of nothing',
    path: '/containerd.services.introspection.v1.Introspection/PluginInfo',
    body: frame(Buffer.concat([field(1, 'a'), field(2, 'b')])),
  },
  { name: 'reflection', path: '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', body: Buffer.alloc(0) },
];

/** `node test/support/wire-probe.ts SOCKET OTHER` prints what two servers answer differently. */
async function compare(first: string, second: string): Promise<void> {
  const ask = async (path: string, probe: Probe): Promise<string> => {
    const session = openSession(path);
    const seen = JSON.stringify(await run(session, probe));
    session.destroy();
    return seen;
  };
  for (const probe of probes) {
    const [one, other] = [await ask(first, probe), await ask(second, probe)];
    if (one !== other) process.stdout.write(`${probe.name}\n  ${one}\n  ${other}\n`);
  }
}

if (import.meta.main) await compare(process.argv[2] ?? '', process.argv[3] ?? '');
