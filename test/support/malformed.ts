import { create, ScalarType, toBinary, type DescField, type DescMessage } from '@bufbuild/protobuf';
import { AnySchema, FieldMaskSchema, TimestampSchema } from '@bufbuild/protobuf/wkt';

/** A message as bytes, and what is wrong with it. */
export interface Bad {
  readonly what: string;
  readonly bytes: Uint8Array;
}

/** What a well-meant request has in its fields, by their names: enough that most of it gets past the first check. */
export interface World {
  readonly digest: string;
  readonly size: number;
  /** A directory with decoys: `there` is a file, all else there would be new. */
  readonly decoys: string;
  readonly strings: Readonly<Record<string, string>>;
}

/** What no file of a daemon may ever be called. */
export const canary = 'hako-canary';

const utf8 = (text: string): Buffer => Buffer.from(text);

/** Bytes for a text field: ways out of directories, ends of C strings, words of other languages, text that is none. */
export function hostileTexts(world: World): readonly (readonly [string, Buffer])[] {
  const texts = [
    '',
    '.',
    '..',
    '/',
    `../../${canary}`,
    `a/../../${canary}`,
    `../../../../../../../../${world.decoys.slice(1)}/${canary}`,
    `${world.decoys}/${canary}`,
    `${world.decoys}/there`,
    `a\0/../../${canary}`,
    'a\nb',
    '-rf',
    '--help',
    `$(touch ${world.decoys}/${canary})`,
    `'; DROP TABLE containers; --`,
    '%2e%2e%2f%2e%2e%2fx',
    '．．／．．／x',
    'a\u202eb\u0000',
    'é'.repeat(40),
    '__proto__',
    'constructor',
    '{{ mount 0 }}',
    'sha256:',
    `sha256:../../${canary}`,
    `md5:${'0'.repeat(32)}`,
    `sha256:${'Z'.repeat(64)}`,
    `sha512:${'0'.repeat(64)}`,
    `../${canary}:${'0'.repeat(64)}`,
    'x'.repeat(77),
  ];
  const raw: [string, Buffer][] = [
    ['bytes that are no UTF-8', Buffer.from([0xff, 0xfe])],
    ['a slash in two bytes', Buffer.from([0x2e, 0x2e, 0xc0, 0xaf])],
    ['half a surrogate', Buffer.from([0xed, 0xa0, 0x80])],
    ['a mebibyte', Buffer.alloc(1 << 20, 'x')],
  ];
  return [...texts.map((text) => [JSON.stringify(text.slice(0, 60)), utf8(text)] as const), ...raw];
}

export function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

const tag = (number: number, type: number): Buffer => varint((BigInt(number) << 3n) | BigInt(type));
export const lengthPrefixed = (number: number, bytes: Uint8Array): Buffer =>
  Buffer.concat([tag(number, 2), varint(BigInt(bytes.length)), bytes]);
const join = (...parts: readonly Uint8Array[]): Buffer => Buffer.concat(parts);

const numbers = [-1n, 1n << 53n, (1n << 63n) - 1n, 1n << 63n, 1n << 31n, 0xffff_ffffn, 0n];
/** How deep messages within messages are taken apart. */
const deepest = 3;

/** A message that is meant well. */
export function goodBytes(desc: DescMessage, world: World, without?: DescField, depth = 0): Buffer {
  if (desc.typeName === AnySchema.typeName) return anyBytes('google.protobuf.Empty', Buffer.alloc(0));
  if (desc.typeName === TimestampSchema.typeName) return Buffer.from([0x08, 1]);
  const parts = desc.fields.filter((field) => field !== without).map((field) => goodField(field, world, depth));
  return join(...parts);
}

function goodField(field: DescField, world: World, depth: number): Uint8Array {
  if (field.fieldKind === 'message' && depth < deepest && field.oneof === undefined && !optionalParts.has(field.name))
    return lengthPrefixed(field.number, goodBytes(field.message, world, undefined, depth + 1));
  if (field.fieldKind === 'scalar' && field.scalar === ScalarType.STRING) {
    const text = world.strings[`${field.parent.name}.${field.name}`] ?? world.strings[field.name] ?? '';
    return text === '' ? Buffer.alloc(0) : lengthPrefixed(field.number, utf8(text));
  }
  if (field.fieldKind === 'scalar' && field.name === 'size')
    return join(tag(field.number, 0), varint(BigInt(world.size)));
  return Buffer.alloc(0);
}

/** Parts whose presence alone makes a request one of another kind. */
const optionalParts = new Set(['checkpoint', 'update_mask', 'options', 'resources', 'sandbox', 'fields', 'platform']);

const anyBytes = (type: string, value: Uint8Array): Buffer =>
  join(lengthPrefixed(1, utf8(type)), lengthPrefixed(2, value));

/** Messages that are wrong in one field each, and whole ones that are wrong altogether. */
export function* badMessages(desc: DescMessage, world: World, depth = 0): Generator<Bad> {
  for (const field of desc.fields) {
    const rest = goodBytes(desc, world, field, depth);
    for (const { what, bytes } of badField(field, world, depth))
      yield { what: `${field.name}: ${what}`, bytes: join(rest, bytes) };
    yield { what: `${field.name} missing`, bytes: rest };
  }
}

function* badField(field: DescField, world: World, depth: number): Generator<Bad> {
  const { number } = field;
  const other = field.fieldKind === 'scalar' && field.scalar !== ScalarType.STRING && field.scalar !== ScalarType.BYTES;
  yield {
    what: 'of another wire type',
    bytes: other ? lengthPrefixed(number, utf8('x')) : join(tag(number, 0), varint(7n)),
  };
  yield { what: 'of eight bytes', bytes: join(tag(number, 1), Buffer.alloc(8, 0xff)) };
  yield { what: 'longer than the message', bytes: join(tag(number, 2), varint(1n << 62n), utf8('x')) };
  yield* badValue(field, world, depth);
}

function* badValue(field: DescField, world: World, depth: number): Generator<Bad> {
  const { number } = field;
  if (field.fieldKind === 'map') {
    yield* badMap(number, world);
  } else if (field.fieldKind === 'message' || (field.fieldKind === 'list' && field.listKind === 'message')) {
    const { message } = field;
    for (const { what, bytes } of badPart(message, world, depth)) yield { what, bytes: lengthPrefixed(number, bytes) };
    if (field.fieldKind === 'list') yield* many(number, goodBytes(message, world, undefined, depth + 1));
  } else if (field.fieldKind === 'enum') {
    for (const value of [99n, -1n]) yield { what: `enum ${value}`, bytes: join(tag(number, 0), varint(value)) };
  } else {
    const scalar = field.fieldKind === 'list' ? (field.scalar as ScalarType) : field.scalar;
    yield* badScalar(field, number, scalar, world);
    if (field.fieldKind === 'list') yield* many(number, utf8('x'));
  }
}

function* badScalar(field: DescField, number: number, scalar: ScalarType, world: World): Generator<Bad> {
  if (scalar === ScalarType.STRING) {
    for (const [what, bytes] of hostileTexts(world)) yield { what, bytes: lengthPrefixed(number, bytes) };
    if (field.name === 'filters') yield* badFilters(number);
  } else if (scalar === ScalarType.BYTES) {
    for (const value of anyValues) yield { what: `bytes ${show(value)}`, bytes: lengthPrefixed(number, value) };
  } else if (scalar !== ScalarType.FLOAT && scalar !== ScalarType.DOUBLE) {
    for (const value of numbers) yield { what: `number ${value}`, bytes: join(tag(number, 0), varint(value)) };
  }
}

function* badFilters(number: number): Generator<Bad> {
  const texts = [
    '==',
    'id~=(',
    'id~=(a*)*$',
    `id~=${'('.repeat(5000)}`,
    'labels."',
    `${'a.'.repeat(50_000)}a`,
    'id~=/[/',
  ];
  for (const text of texts) yield { what: `filter ${text.slice(0, 20)}`, bytes: lengthPrefixed(number, utf8(text)) };
}

function* many(number: number, one: Uint8Array): Generator<Bad> {
  const piece = lengthPrefixed(number, one);
  const count = Math.min(100_000, Math.floor((8 << 20) / piece.length));
  yield { what: `${count} of them`, bytes: Buffer.alloc(piece.length * count, piece) };
}

const entry = (key: Uint8Array, value: Uint8Array): Buffer => join(lengthPrefixed(1, key), lengthPrefixed(2, value));

function* badMap(number: number, world: World): Generator<Bad> {
  const big = Buffer.alloc(1 << 20, 'y');
  yield { what: 'a key of a mebibyte', bytes: lengthPrefixed(number, entry(big, utf8('v'))) };
  yield { what: 'a value of a mebibyte', bytes: lengthPrefixed(number, entry(utf8('k'), big)) };
  yield { what: 'a key that is no UTF-8', bytes: lengthPrefixed(number, entry(Buffer.from([0xff]), utf8('v'))) };
  yield { what: 'a value that is no UTF-8', bytes: lengthPrefixed(number, entry(utf8('k'), Buffer.from([0xff]))) };
  yield { what: 'an entry that is none', bytes: lengthPrefixed(number, Buffer.from([0xff, 0xff])) };
  const entries = Array.from({ length: 100_000 }, (_, n) => lengthPrefixed(number, entry(utf8(`k${n}`), utf8('v'))));
  yield { what: '100,000 entries', bytes: join(...entries) };
  for (const key of hostileKeys)
    for (const value of ['', 'nonsense', `../../${canary}`, `${world.decoys}/${canary}`, 'sha256:x'])
      yield { what: `${key}=${value}`, bytes: lengthPrefixed(number, entry(utf8(key), utf8(value))) };
}

/** Labels that mean something, and names that mean something to JavaScript. */
const hostileKeys = [
  '',
  '__proto__',
  'constructor',
  'toString',
  'containerd.io/gc.root',
  'containerd.io/gc.expire',
  'containerd.io/gc.flat',
  'containerd.io/gc.ref.content.x',
  'containerd.io/gc.ref.snapshot.overlayfs',
  'containerd.io/gc.ref.snapshot.../../x',
  'containerd.io/gc.bref.container.x',
  'containerd.io/snapshot.ref',
  'containerd.io/snapshot/uidmapping',
  'containerd.io/snapshot/gidmapping',
  'containerd.io/snapshot/overlay.metacopy',
  'containerd.io/uncompressed',
  'containerd.io/distribution.source.../../x',
  'containerd.io/defaults/snapshotter',
  'containerd.io/defaults/runtime',
  'nerdctl/name',
  'io.containerd.image.unpack',
];

/** What may stand in an Any: no JSON, deep JSON, JSON of another shape, deep messages. */
const anyValues: readonly Buffer[] = [
  Buffer.alloc(0),
  utf8('no json'),
  utf8('['.repeat(100_000)),
  utf8('{"a":'.repeat(20_000)),
  utf8('{}'),
  utf8('null'),
  utf8('[1]'),
  utf8('{"__proto__":{"process":1},"process":{"args":{"length":1e9}},"linux":{"cgroupsPath":7},"root":[]}'),
  utf8('{"process":null,"root":{"path":"../../.."},"mounts":"x","hooks":{"prestart":7}}'),
  Buffer.alloc(64, 0xff),
  nested(10_000),
];

const show = (value: Buffer): string => `${value.length}:${value.subarray(0, 16).toString('latin1')}`;

/** A length-delimited field 1 within itself. */
export function nested(depth: number): Buffer {
  const heads: Buffer[] = [];
  let length = 0;
  for (let at = 0; at < depth; at++) {
    const head = join(tag(1, 2), varint(BigInt(length)));
    heads.push(head);
    length += head.length;
  }
  return join(...heads.toReversed());
}

const anyTypes = (world: World): readonly string[] => [
  '',
  `../../${canary}`,
  `${world.decoys}/there`,
  'types.containerd.io/opencontainers/runtime-spec/1/Spec',
  'types.containerd.io/opencontainers/runtime-spec/1/Process',
  'containerd.runc.v1.Options',
  'runtimeoptions.v1.Options',
  'containerd.types.transfer.ImageStore',
  'containerd.types.transfer.OCIRegistry',
  'containerd.types.transfer.ImageImportStream',
  'containerd.types.transfer.ImageExportStream',
  'containerd.types.Sandbox',
  'google.protobuf.Any',
];

function* badPart(desc: DescMessage, world: World, depth: number): Generator<Bad> {
  yield { what: 'nested 10,000 deep', bytes: nested(10_000) };
  yield { what: 'bytes that are no message', bytes: Buffer.from([0xff, 0xff, 0xff]) };
  if (desc.typeName === AnySchema.typeName) {
    for (const type of anyTypes(world))
      for (const value of anyValues) yield { what: `${type} ${show(value)}`, bytes: anyBytes(type, value) };
  } else if (desc.typeName === TimestampSchema.typeName) {
    for (const seconds of [...numbers, 253_402_300_800n, -62_135_596_801n])
      for (const nanos of [0n, -1n, 2_000_000_000n])
        yield { what: `${seconds}s ${nanos}ns`, bytes: join(tag(1, 0), varint(seconds), tag(2, 0), varint(nanos)) };
  } else if (desc.typeName === FieldMaskSchema.typeName) {
    for (const path of [
      '',
      '.',
      'labels',
      'labels.',
      'labels.__proto__',
      'labels.constructor',
      'extensions.toString',
      'annotations.valueOf',
      '__proto__',
      'spec.x',
      'extensions.',
      'a'.repeat(100_000),
    ])
      yield {
        what: `path ${path.slice(0, 20)}`,
        bytes: toBinary(FieldMaskSchema, create(FieldMaskSchema, { paths: [path] })),
      };
  } else if (depth < deepest) {
    yield* badMessages(desc, world, depth + 1);
  }
}

/** The same numbers again for the same seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Messages with bytes changed, cut or put in at random, and some that are nothing but noise. */
export function* noisyMessages(good: Uint8Array, count: number, next: () => number): Generator<Bad> {
  const upTo = (most: number): number => Math.floor(next() * most);
  for (let n = 0; n < count; n++) {
    const bytes = Buffer.from(n % 4 === 0 ? Array.from({ length: upTo(200) }, () => upTo(256)) : good);
    for (let changes = upTo(4); changes >= 0 && bytes.length > 0; changes--) bytes[upTo(bytes.length)] = upTo(256);
    yield { what: `noise ${n}`, bytes: n % 3 === 0 ? bytes.subarray(0, upTo(bytes.length + 1)) : bytes };
  }
}
