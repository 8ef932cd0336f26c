import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { Call } from '#base/call.ts';
import { HakoError, notFound } from '#base/errors.ts';
import type { ContainerRequest } from '#services/engine/types.ts';
import { OpenDoor } from './fixture.ts';

test('ping tells versions in its head, for GET and HEAD', async () => {
  await using open = await OpenDoor.over({});
  for (const method of ['GET', 'HEAD']) {
    const { status, headers, text } = await open.ask(method, '/_ping');
    assert.equal(status, 200);
    assert.equal(headers['api-version'], '1.51');
    assert.equal(headers['builder-version'], '2');
    assert.equal(headers['docker-experimental'], 'false');
    assert.equal(headers['ostype'], 'linux');
    assert.equal(headers['server'], 'Hakobune/0.0.0 (linux)');
    assert.equal(text, method === 'GET' ? 'OK' : '');
  }
});

test('a client newer or older than we are is told so in the words of Docker', async () => {
  await using open = await OpenDoor.over({ version: () => ({ Version: 'x' }) });
  const newer = await open.ask('GET', '/v1.99/version');
  assert.deepEqual(
    [newer.status, newer.text.trim()],
    [400, '{"message":"client version 1.99 is too new. Maximum supported API version is 1.51"}'],
  );
  const older = await open.ask('GET', '/v1.23/version');
  assert.match(older.text, /client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade/);
  for (const path of ['/version', '/v1.24/version', '/v1.51/version']) {
    assert.equal((await open.ask('GET', path)).text, '{"Version":"x"}\n', path);
  }
});

test('what the API has and we do not is 501, what it does not have is 404', async () => {
  await using open = await OpenDoor.over({});
  const absent = await open.ask('GET', '/v1.43/networks');
  assert.equal(absent.status, 501);
  assert.match(absent.text, /^\{"message":".*GET \/networks is not implemented"\}\n$/);
  for (const path of ['/nothing', '/v1.43/nothing', '/v1.43', '/containers/x/nothing']) {
    assert.deepEqual(await open.ask('GET', path).then(({ status, text }) => [status, text]), [
      404,
      '{"message":"page not found"}\n',
    ]);
  }
});

test('every code of an error has its status, and the message is the error', async () => {
  let error: Error = notFound('container', 'x');
  await using open = await OpenDoor.over({ inspect: () => Promise.reject(error) });
  const cases = [
    [notFound('container', 'x'), 404],
    [new HakoError('conflict', 'in use'), 409],
    [new HakoError('invalid-argument', 'no'), 400],
    [new HakoError('unavailable', 'registry is down'), 503],
    [new Error('surprise'), 500],
  ] as const;
  for (const [thrown, status] of cases) {
    error = thrown;
    const answer = await open.ask('GET', '/containers/x/json');
    assert.deepEqual([answer.status, JSON.parse(answer.text)], [status, { message: thrown.message }]);
  }
});

test('not-modified has no body', async () => {
  await using open = await OpenDoor.over({
    start: () => Promise.reject(new HakoError('not-modified', 'runs already')),
  });
  const { status, text } = await open.ask('POST', '/containers/x/start');
  assert.deepEqual([status, text], [304, '']);
});

test('a namespace comes by header, and only one that is an identifier', async () => {
  const seen: string[] = [];
  await using open = await OpenDoor.over({ list: async (call: Call) => (seen.push(call.namespace), []) });
  await open.ask('GET', '/containers/json');
  await open.ask('GET', '/containers/json', undefined, { 'X-Hakobune-Namespace': 'k8s.io' });
  assert.deepEqual(seen, ['default', 'k8s.io']);
  const bad = await open.ask('GET', '/containers/json', undefined, { 'X-Hakobune-Namespace': '../x' });
  assert.equal(bad.status, 400);
});

test('a client that leaves ends the signal of its call', async () => {
  const { promise: ended, resolve } = Promise.withResolvers<string>();
  await using open = await OpenDoor.over({
    inspect: (call: Call) =>
      new Promise((_, reject) => {
        socket.destroy();
        call.signal.addEventListener('abort', () => {
          resolve(String(call.signal.reason));
          reject(call.signal.reason as Error);
        });
      }),
  });
  const socket = connect(open.path);
  socket.write('GET /containers/x/json HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.match(await ended, /the client left/);
});

test('closing the door ends the calls that are still running', async () => {
  const { promise: began, resolve } = Promise.withResolvers<void>();
  await using open = await OpenDoor.over({
    inspect: (call: Call) =>
      new Promise((_, reject) => {
        resolve();
        call.signal.addEventListener('abort', () => reject(call.signal.reason as Error));
      }),
  });
  const answer = open.ask('GET', '/containers/x/json');
  await began;
  await open.door.close();
  const { status, text } = await answer;
  assert.deepEqual([status, text], [503, '{"message":"hakod is stopping"}\n']);
});

test('create checks the shape of its body and hands it on whole', async () => {
  const seen: [string, ContainerRequest][] = [];
  await using open = await OpenDoor.over({
    create: async (_call: Call, name: string, request: ContainerRequest) => {
      seen.push([name, request]);
      return { id: 'abc', warnings: ['careful'] };
    },
  });
  const good = await open.ask('POST', '/v1.41/containers/create?name=/web', {
    Image: 'a',
    Tty: true,
    Odd: [1],
    HostConfig: { X: 1 },
  });
  assert.deepEqual([good.status, JSON.parse(good.text)], [201, { Id: 'abc', Warnings: ['careful'] }]);
  assert.deepEqual(seen, [['web', { Image: 'a', Tty: true, Odd: [1], HostConfig: { X: 1 } }]]);

  const wrong: [unknown, RegExp][] = [
    ['', /config cannot be empty/],
    ['{', /not JSON/],
    ['[]', /must be a JSON object/],
    [{ Image: 3 }, /\\"Image\\" must be a string/],
    [{}, /name an image/],
    [{ Image: 'a', HostConfig: [] }, /\\"HostConfig\\" must be an object/],
    [{ Image: 'x'.repeat(5 << 20) }, /larger than 4194304 bytes/],
  ];
  for (const [body, message] of wrong) {
    const { status, text } = await open.ask('POST', '/containers/create', body);
    assert.equal(status, 400, String(message));
    assert.match(text, message);
  }
  const typed = await open.ask('POST', '/containers/create', 'x=1', { 'Content-Type': 'text/plain' });
  assert.match(typed.text, /must be \\"application\/json\\"/);
});

test('filters are read in both of their forms', async () => {
  const seen: unknown[] = [];
  await using open = await OpenDoor.over({
    list: async (_call, { filters }) => (seen.push(Object.fromEntries(filters)), []),
  });
  const ask = (filters: string) => open.ask('GET', `/containers/json?filters=${encodeURIComponent(filters)}`);
  await ask('{"status":["running","exited"]}');
  await ask('{"label":{"a=b":true,"c":false}}');
  assert.deepEqual(seen, [{ status: ['running', 'exited'] }, { label: ['a=b'] }]);
  for (const bad of ['[1]', '{"a":"b"}', '{"a":[1]}', '{']) assert.equal((await ask(bad)).status, 400, bad);
});

test('names of images may hold slashes, colons and escapes', async () => {
  const seen: string[] = [];
  await using open = await OpenDoor.over({
    imageInspect: async (_call, ref) => (seen.push(ref), { Size: 5 }),
    imageRemove: async (_call, ref) => (seen.push(ref), []),
  });
  const old = await open.ask('GET', '/v1.41/images/127.0.0.1:5000/a/b:c/json');
  assert.deepEqual(JSON.parse(old.text), { VirtualSize: 5, Size: 5 });
  await open.ask('DELETE', '/images/a%2Fb');
  assert.deepEqual(seen, ['127.0.0.1:5000/a/b:c', 'a/b']);
  assert.equal((await open.ask('GET', '/images/%zz/json')).status, 400);
});

test('wait sends its head before the container ends', async () => {
  const exit = Promise.withResolvers<{ statusCode: number }>();
  await using open = await OpenDoor.over({ wait: async () => ({ exit: exit.promise }) });
  const socket = connect(open.path);
  socket.write('POST /v1.43/containers/x/wait?condition=next-exit HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    // Only the head can have come; what it waits for happens now.
    exit.resolve({ statusCode: 7 });
  });
  await new Promise((resolve) => socket.on('close', resolve));
  assert.match(text, /^HTTP\/1.1 200 OK/);
  assert.match(text, /\{"StatusCode":7\}\n/);
});
