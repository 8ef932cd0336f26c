import { invalid } from '#base/errors.ts';
import type { Credentials } from '#core/registry.ts';

const limit = 64 * 1024;

/**
 * `X-Registry-Auth`: base64url (padded or not; plain base64 from some clients) of JSON. Empty credentials are none. The
 * value never goes into an error or a log.
 */
export function parseRegistryAuth(header: string | undefined): Credentials | undefined {
  if (header === undefined || header === '') return undefined;
  if (header.length > limit) throw invalid(`header "X-Registry-Auth" is longer than ${limit} bytes`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(header, 'base64url').toString());
  } catch {
    // Without a cause: the parser's message would quote the secret.
    throw invalid('header "X-Registry-Auth" is not base64url of JSON');
  }
  if (parsed === null) return undefined;
  if (typeof parsed !== 'object' || Array.isArray(parsed))
    throw invalid('header "X-Registry-Auth" is not a JSON object');
  const { username, password, auth, identitytoken } = parsed as Record<string, unknown>;
  const [user, secret] = fromAuth(auth);
  const credentials = {
    username: text('username', username) || user,
    password: text('password', password) || secret,
  };
  const identityToken = text('identitytoken', identitytoken);
  if (identityToken !== '') return { ...credentials, identityToken };
  return credentials.username === '' && credentials.password === '' ? undefined : credentials;
}

/** Docker's configuration file keeps name and password as one: base64 of `name:password`. */
function fromAuth(auth: unknown): [string, string] {
  const plain = Buffer.from(text('auth', auth), 'base64').toString();
  const colon = plain.indexOf(':');
  return colon < 0 ? ['', ''] : [plain.slice(0, colon), plain.slice(colon + 1)];
}

function text(name: string, value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') throw invalid(`header "X-Registry-Auth": "${name}" must be a string`);
  return value;
}
