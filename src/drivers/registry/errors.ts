import { HakoError, type ErrorCode } from '#base/errors.ts';

/** A failure to speak with a host, before or in the middle of an answer. `retry` when asking again may help. */
export class NetworkError extends HakoError {
  readonly retry: boolean;

  constructor(message: string, retry: boolean, cause?: unknown) {
    super('unavailable', message, cause);
    this.retry = retry;
  }
}

const untrusted = 'add its CA to hosts.toml (ca = "…") below /etc/hakobune/certs.d';

/** OpenSSL's verdicts on a certificate, and what to do about each. */
const certificateFaults: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: `certificate is self-signed and not trusted: ${untrusted}`,
  SELF_SIGNED_CERT_IN_CHAIN: `certificate is signed by an unknown authority: ${untrusted}`,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: `certificate is signed by an unknown authority: ${untrusted}`,
  UNABLE_TO_GET_ISSUER_CERT: `certificate is signed by an unknown authority: ${untrusted}`,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: `certificate is signed by an unknown authority: ${untrusted}`,
  CERT_UNTRUSTED: `certificate is not trusted: ${untrusted}`,
  CERT_SIGNATURE_FAILURE: `certificate has a wrong signature: ${untrusted}`,
  INVALID_CA: `certificate is signed by something that is no CA: ${untrusted}`,
  CERT_HAS_EXPIRED: "certificate has expired: renew it, or set this machine's clock right",
  CERT_NOT_YET_VALID: "certificate is not valid yet: set this machine's clock right",
  CERT_REVOKED: 'certificate is revoked',
};

const networkFaults: Readonly<Record<string, readonly [text: string, retry: boolean]>> = {
  ECONNREFUSED: ['connection refused: is it running?', false],
  ENOTFOUND: ['no such host: check the name in the reference, or DNS', false],
  EAI_AGAIN: ['the name server does not answer: check DNS', true],
  EHOSTUNREACH: ['no route to the host: check the network', false],
  ENETUNREACH: ['the network is unreachable: check the network', false],
  ETIMEDOUT: ['connection timed out: check the address, the network and the firewall', true],
  ECONNRESET: ['connection was cut by the other side', true],
  EPIPE: ['connection was cut by the other side', true],
  ECONNABORTED: ['connection was cut', true],
};

/** Words for what Node threw while talking to `host`. An abort stays what it is. */
export function networkError(host: string, error: unknown): unknown {
  if (error instanceof HakoError || !(error instanceof Error)) return error;
  if (error.name === 'AbortError') return error;
  const code = String((error as NodeJS.ErrnoException).code ?? '');
  const certificate = certificateFaults[code];
  if (certificate !== undefined) return new NetworkError(`registry "${host}": ${certificate}`, false, error);
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return new NetworkError(
      `registry "${host}": certificate is for another name: ${altName(error.message)}`,
      false,
      error,
    );
  }
  if (isTlsMismatch(error)) {
    const hint = `ask for plain HTTP, or write server = "http://${host}" into its hosts.toml`;
    return new NetworkError(`registry "${host}": does not speak TLS: ${hint}`, false, error);
  }
  const fault = networkFaults[code];
  if (fault !== undefined) return new NetworkError(`registry "${host}": ${fault[0]}`, fault[1], error);
  // Node's message may hold a whole dump of OpenSSL: one line of it is enough.
  const line = error.message.split('\n', 1)[0]?.slice(0, 200) ?? '';
  return new NetworkError(`registry "${host}": ${line}`, code.startsWith('HPE_') || line === 'aborted', error);
}

/** Whether a TLS handshake met a server that does not speak TLS. */
export function isTlsMismatch(error: unknown): boolean {
  const code = String((error as NodeJS.ErrnoException | undefined)?.code ?? '');
  return ['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG', 'ERR_SSL_HTTP_REQUEST', 'EPROTO'].includes(
    code,
  );
}

/** Node says `Host: h. is not in the cert's altnames: DNS:a, …`; the part after it helps. */
const altName = (message: string): string =>
  /altnames: (.*)$/s.exec(message)?.[1]?.slice(0, 200) ?? message.slice(0, 200);

/** What a failed request was about, for the message. */
export interface Asked {
  readonly host: string;
  /** `image "a/b:latest"`, `blob "sha256:…" of "a/b"`. */
  readonly what: string;
  readonly action: 'pull' | 'push';
  /** Who was logged in, undefined when nobody was. */
  readonly user: string | undefined;
}

interface RegistryFault {
  readonly code: string;
  readonly message: string;
}

/** The first error of a body as the distribution spec has it; undefined when it holds none. */
export function faultOf(body: string): RegistryFault | undefined {
  try {
    const parsed = JSON.parse(body) as { errors?: { code?: unknown; message?: unknown }[] };
    const first = parsed.errors?.[0];
    if (first === undefined) return undefined;
    return { code: clean(first.code), message: clean(first.message) };
  } catch {
    return undefined;
  }
}

/** A registry's own words go to a terminal: one line, printable, not long. */
const clean = (value: unknown): string =>
  typeof value === 'string'
    ? value
        .replace(/\p{Cc}+/gu, ' ')
        .trim()
        .slice(0, 200)
    : '';

/** The error for an answer that is no success. */
export function statusError(asked: Asked, status: number, body: string): HakoError {
  const fault = faultOf(body);
  // Proxies and servers that are no registry answer in words of their own; whole pages help nobody.
  const words =
    fault === undefined && !body.trimStart().startsWith('<') ? [clean(body)] : [fault?.code, fault?.message];
  const said = words.map((word) => (word === undefined || word === '' ? '' : `: ${word}`)).join('');
  const [code, text] = verdict(asked, status, fault);
  return new HakoError(code, `registry "${asked.host}": ${text}${code === 'not-found' ? '' : said}`);
}

function verdict(asked: Asked, status: number, fault: RegistryFault | undefined): [ErrorCode, string] {
  const { what, action, user } = asked;
  switch (status) {
    case 401:
      return user === undefined
        ? ['unauthenticated', `${action} access denied for ${what}: it does not exist, or needs a login`]
        : ['unauthenticated', `${action} access denied for ${what}: the login of "${user}" was refused`];
    case 403:
      return ['permission-denied', `${action} access denied for ${what}`];
    case 404:
      return ['not-found', fault?.code === 'NAME_UNKNOWN' ? `${what}: no such repository` : `${what}: not found`];
    case 405:
      return ['unimplemented', `${what}: the registry does not allow this`];
    case 416:
      return ['out-of-range', `${what}: the registry has fewer bytes than it said`];
    case 429:
      return ['unavailable', `${what}: too many requests: try again later, or log in for a higher limit`];
    case 400:
    case 413:
      return ['invalid-argument', `${what}: refused with status ${status}`];
    default:
      return [status >= 500 ? 'unavailable' : 'unknown', `${what}: unexpected status ${status}`];
  }
}
