import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { HttpClient } from './http.ts';
import { plainTls } from './tls.ts';

test('an observer sees heads as they are on the wire, without what is secret', async (t) => {
  const server = createServer((_, response) => {
    response.writeHead(202, { location: '/next?a=1&X-Signature=abc', 'set-cookie': 'id=hidden', 'x-plain': 'seen' });
    response.end('a body');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  using client = new HttpClient();
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const seen: string[] = [];
  const response = await client.send(
    {
      method: 'GET',
      url: new URL(`http://127.0.0.1:${port}/v2/a?token=abc&n=2`),
      headers: { authorization: 'Basic abc', accept: 'x/y' },
      tls: plainTls,
      observe: (text) => seen.push(text),
    },
    t.signal,
  );
  await response.text();
  assert.equal(seen.length, 2);
  const [asked = '', answered = ''] = seen;
  assert.match(asked, /^GET \/v2\/a\?token=<hidden>&n=2 HTTP\/1\.1\r\n/);
  assert.match(asked, /\r\nauthorization: <hidden>\r\naccept: x\/y\r\n/);
  assert.match(answered, /^HTTP\/1\.1 202 Accepted\r\nlocation: \/next\?a=1&X-Signature=<hidden>\r\n/);
  assert.match(answered, /x-plain: seen\r\n/);
  assert.doesNotMatch(seen.join(''), /abc|id=hidden|a body/);
});
