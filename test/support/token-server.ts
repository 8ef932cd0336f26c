import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { serve, type TestServer } from './http-server.ts';
import { testUser } from './registry.ts';

/** Stands for a login as `testUser`. */
export const identityToken = 'identity-of-the-harbour';

/**
 * A token server as distribution's token spec has it: gives tokens that a real docker-registry believes, for reading to
 * anyone and for writing to `testUser` or whoever has the identity token.
 */
export function serveTokens(
  signer: { key: string; pem: string },
  service: string,
  issuer: string,
): Promise<TestServer> {
  return serve(async (request, response) => {
    const url = new URL(request.url ?? '', 'http://localhost');
    const form = request.method === 'POST' ? new URLSearchParams(await bodyOf(request)) : undefined;
    const known = form === undefined ? isUser(request) : form.get('refresh_token') === identityToken;
    const anonymous = form === undefined && request.headers.authorization === undefined;
    if (!known && !anonymous)
      return void response.writeHead(401).end('{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}');
    const scopes = form === undefined ? url.searchParams.getAll('scope') : (form.get('scope') ?? '').split(' ');
    const access = scopes
      .filter((scope) => scope !== '')
      .map((scope) => {
        const [type, name, actions = ''] = scope.split(':');
        return { type, name, actions: actions.split(',').filter((action) => known || action === 'pull') };
      });
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: issuer,
      aud: service,
      sub: '',
      exp: now + 300,
      nbf: now - 10,
      iat: now,
      jti: randomUUID(),
      access,
    };
    const token = jwt(signer, claims);
    response.end(
      JSON.stringify(form === undefined ? { token, expires_in: 300 } : { access_token: token, expires_in: 300 }),
    );
  });
}

const isUser = (request: IncomingMessage): boolean =>
  request.headers.authorization ===
  `Basic ${Buffer.from(`${testUser.username}:${testUser.password}`).toString('base64')}`;

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function jwt({ key, pem }: { key: string; pem: string }, claims: unknown): string {
  const x5c = [new X509Certificate(pem).raw.toString('base64')];
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const head = `${encode({ typ: 'JWT', alg: 'ES256', x5c })}.${encode(claims)}`;
  const signature = sign('sha256', Buffer.from(head), { key: createPrivateKey(key), dsaEncoding: 'ieee-p1363' });
  return `${head}.${signature.toString('base64url')}`;
}
