import { HakoError } from './errors.ts';

/** The registry that a short name means. */
export const defaultDomain = 'docker.io';
/** The tag that a bare name means. */
export const defaultTag = 'latest';

/** The name of an image, normalized: `domain/path`, then a tag, a digest, both or neither. */
export interface Reference {
  readonly domain: string;
  readonly path: string;
  readonly tag?: string;
  readonly digest?: string;
}

// The grammar of distribution/reference. A host may hold upper case, a path may not.
const component = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const host = `(?:${component}(?:\\.${component})*|\\[(?:[a-fA-F0-9:]+)\\])`;
const domainPattern = `${host}(?::[0-9]+)?`;
const pathComponent = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const pathPattern = `${pathComponent}(?:/${pathComponent})*`;
const tagPattern = '[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}';
const digestPattern = '[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}';

const grammar = new RegExp(`^(${domainPattern})/(${pathPattern})(?::(${tagPattern}))?(?:@(${digestPattern}))?$`);
const wholeTag = new RegExp(`^${tagPattern}$`);
const hexLengths: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

/** Longer input is refused before the grammar sees it: 255 for the path, 128 for the tag, the rest for host and digest. */
const maxLength = 1024;
const maxPathLength = 255;

const bad = (input: string, why?: string): HakoError =>
  new HakoError(
    'invalid-argument',
    `invalid reference format${why === undefined ? '' : `: ${why}`}: "${input.length > 128 ? `${input.slice(0, 128)}…` : input}"`,
  );

/**
 * Reads a reference as people type it, with Docker's defaults: `alpine` is `docker.io/library/alpine`. No tag is added.
 * invalid-argument with Docker's words (`invalid reference format`) and the reason.
 */
export function parseReference(input: string): Reference {
  if (input === '') throw new HakoError('invalid-argument', 'invalid reference format: the reference is empty');
  if (input.length > maxLength) throw bad(input, `longer than ${maxLength} characters`);
  if (/^[a-f0-9]{64}$/.test(input)) {
    throw bad(input, 'cannot specify 64-byte hexadecimal strings as a repository name');
  }
  const [domain, rest] = splitDomain(input);
  const colon = rest.indexOf(':');
  const name = colon < 0 ? rest : rest.slice(0, colon);
  if (name !== name.toLowerCase()) throw bad(input, `repository name (${name}) must be lowercase`);
  const matched = grammar.exec(`${domain}/${rest}`);
  if (matched === null) throw bad(input);
  const [, , path = '', tag, digest] = matched;
  if (path.length > maxPathLength)
    throw bad(input, `repository name must not be more than ${maxPathLength} characters`);
  if (digest !== undefined) checkDigest(input, digest);
  return { domain, path, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

/** As `parseReference`, and a name without tag and digest means `latest`. */
export function normalizeReference(input: string): Reference {
  const reference = parseReference(input);
  return reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: defaultTag } : reference;
}

/** The whole name, as the containerd door and the ledger know it. */
export function formatReference({ domain, path, tag, digest }: Reference): string {
  return `${domain}/${path}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/** The short form that Docker shows: without `docker.io/` and `library/`. */
export function familiar(reference: Reference | string): string {
  const whole = typeof reference === 'string' ? parseReference(reference) : reference;
  const { tag, digest } = whole;
  return `${familiarName(whole)}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/** The short form without tag and digest. */
export function familiarName({ domain, path }: Reference): string {
  if (domain !== defaultDomain) return `${domain}/${path}`;
  return /^library\/[^/]+$/.test(path) ? path.slice('library/'.length) : path;
}

/** Whether `tag` is one by the grammar. */
export const isTag = (tag: string): boolean => wholeTag.test(tag);

/** The first part is a host when it looks like one: a dot, a port, `localhost`, or upper case. */
function splitDomain(input: string): [domain: string, rest: string] {
  const slash = input.indexOf('/');
  const first = input.slice(0, Math.max(slash, 0));
  const isHost = slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  let [domain, rest] = isHost ? [first, input.slice(slash + 1)] : [defaultDomain, input];
  if (domain === 'index.docker.io') domain = defaultDomain;
  if (domain === defaultDomain && !rest.includes('/')) rest = `library/${rest}`;
  return [domain, rest];
}

function checkDigest(input: string, digest: string): void {
  const [algorithm = '', hex = ''] = digest.split(':');
  const length = hexLengths[algorithm];
  if (length === undefined) throw bad(input, `unsupported digest algorithm "${algorithm}"`);
  if (hex.length !== length || hex !== hex.toLowerCase()) {
    throw bad(input, `a ${algorithm} digest is ${length} lower case hexadecimal digits`);
  }
}
