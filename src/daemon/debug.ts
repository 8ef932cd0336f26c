import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Session } from 'node:inspector/promises';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { getHeapSnapshot } from 'node:v8';
import { messageOf } from '#base/errors.ts';

const help = `Profiles of hakod, in the formats of V8 (not Go's pprof). They open in Chrome's developer tools.

  /debug/pprof/profile?seconds=30   CPU profile: save it as x.cpuprofile
  /debug/pprof/heap                 heap snapshot: save it as x.heapsnapshot; it stops the daemon for a moment
  /debug/vars                       memory and uptime as JSON
`;

const LONGEST_PROFILE_S = 300;

/** Serves profiles over HTTP to whoever may open the socket. */
export function serveDebug(): { listen(path: string): Promise<void>; close(): Promise<void> } {
  const ended = new AbortController();
  const server = createServer((request, response) => {
    void answer(request, response, ended.signal).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain' });
      response.end(`${messageOf(error)}\n`);
    });
  });
  return {
    listen: (path) =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(path, resolve);
      }),
    close: async () => {
      ended.abort();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function answer(request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
  const send = (type: string, body: string): void => void response.writeHead(200, { 'content-type': type }).end(body);
  switch (pathname) {
    case '/':
    case '/debug/pprof':
    case '/debug/pprof/':
      return send('text/plain', help);
    case '/debug/vars': {
      const facts = {
        pid: process.pid,
        uptime: process.uptime(),
        memory: process.memoryUsage(),
        cpu: process.cpuUsage(),
      };
      return send('application/json', `${JSON.stringify(facts, undefined, 2)}\n`);
    }
    case '/debug/pprof/profile': {
      const seconds = Number(searchParams.get('seconds') ?? 30);
      if (seconds > 0 && seconds <= LONGEST_PROFILE_S) return send('application/json', await profile(seconds, signal));
      response.writeHead(400).end(`seconds must be more than 0 and at most ${LONGEST_PROFILE_S}\n`);
      return undefined;
    }
    case '/debug/pprof/heap':
      response.writeHead(200, { 'content-type': 'application/json' });
      return pipeline(getHeapSnapshot(), response);
    default:
      response.writeHead(404).end(help);
      return undefined;
  }
}

async function profile(seconds: number, signal: AbortSignal): Promise<string> {
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    await sleep(seconds * 1000, undefined, { signal });
    return JSON.stringify((await session.post('Profiler.stop')).profile);
  } finally {
    session.disconnect();
  }
}
