// As much of a client of Docker's Engine API as the quickstart needs, for Node 20.

import http from 'node:http';

/** A client of the Engine API at a unix socket. Every method throws an Error with the daemon's own words. */
export class DockerApi {
  constructor(socketPath) {
    this.socketPath = socketPath;
  }

  /** One request; gives the answer as JSON, or undefined where it is empty. */
  async ask(method, path, body) {
    const response = await this.#send(method, path, body);
    const text = await textOf(response);
    if (response.statusCode >= 400)
      throw new Error(messageIn(text) ?? `${method} ${path}: status ${response.statusCode}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  /** Pulls an image; gives how long each stage took, in milliseconds. */
  async pull(reference) {
    const response = await this.#send('POST', `/images/create?fromImage=${encodeURIComponent(reference)}`, undefined, {
      'x-hakobune-timing': '1',
    });
    const text = await textOf(response);
    if (response.statusCode >= 400) throw new Error(messageIn(text) ?? `status ${response.statusCode}`);
    const lines = text
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map((line) => JSON.parse(line));
    const failed = lines.find((line) => line.error !== undefined);
    if (failed !== undefined) throw new Error(failed.error);
    return lines.find((line) => line.aux?.['hakobune.io/timing'] !== undefined)?.aux['hakobune.io/timing'];
  }

  /** Attaches to a container's output; `ended` resolves when it is over. */
  async attach(id, onOutput) {
    const path = `/containers/${id}/attach?stream=1&stdout=1&stderr=1`;
    const request = http.request({
      socketPath: this.socketPath,
      method: 'POST',
      path,
      headers: { Connection: 'Upgrade', Upgrade: 'tcp' },
    });
    request.end();
    const { socket, head } = await new Promise((resolve, reject) => {
      request.once('upgrade', (_response, duplex, first) => resolve({ socket: duplex, head: first }));
      request.once('response', (response) =>
        textOf(response).then((text) => reject(new Error(messageIn(text) ?? 'attach was refused'))),
      );
      request.once('error', reject);
    });
    const ended = new Promise((resolve) => {
      const frames = new Frames(onOutput);
      frames.push(head);
      socket.on('data', (chunk) => frames.push(chunk));
      socket.once('close', resolve);
      socket.once('error', resolve);
    });
    return { ended };
  }

  #send(method, path, body, headers = {}) {
    const json = body === undefined ? undefined : JSON.stringify(body);
    const type =
      json === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) };
    return new Promise((resolve, reject) => {
      const request = http.request(
        { socketPath: this.socketPath, method, path, headers: { ...type, ...headers } },
        resolve,
      );
      request.once('error', reject);
      request.end(json);
    });
  }
}

/** Docker's framing of two streams in one: a byte for the stream, three of nothing, four of length. */
class Frames {
  #rest = Buffer.alloc(0);
  #onOutput;

  constructor(onOutput) {
    this.#onOutput = onOutput;
  }

  push(chunk) {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 8) {
      const length = this.#rest.readUInt32BE(4);
      if (this.#rest.length < 8 + length) return;
      this.#onOutput(this.#rest[0] === 2 ? 'stderr' : 'stdout', this.#rest.subarray(8, 8 + length));
      this.#rest = this.#rest.subarray(8 + length);
    }
  }
}

async function textOf(response) {
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function messageIn(text) {
  try {
    return JSON.parse(text).message;
  } catch {
    return undefined;
  }
}
