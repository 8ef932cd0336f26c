import { unimplemented } from '#base/errors.ts';
import type { Route } from './router.ts';

/** What the Engine API has and we do not have yet, by what it is for. */
const absent: Readonly<Record<string, readonly string[]>> = {
  'container export': ['GET /containers/{id}/export'],
  'container diff': ['GET /containers/{id}/changes'],
  'container stats': ['GET /containers/{id}/stats'],
  'attach over WebSocket': ['GET /containers/{id}/attach/ws'],
  'copying files from and to containers': [
    'GET /containers/{id}/archive',
    'HEAD /containers/{id}/archive',
    'PUT /containers/{id}/archive',
  ],
  'container update': ['POST /containers/{id}/update'],
  'container prune': ['POST /containers/prune'],
  checkpoints: [
    'GET /containers/{id}/checkpoints',
    'POST /containers/{id}/checkpoints',
    'DELETE /containers/{id}/checkpoints/{checkpoint}',
  ],
  commit: ['POST /commit'],
  'image search': ['GET /images/search'],
  'image save': ['GET /images/get', 'GET /images/{name*}/get'],
  'image load': ['POST /images/load'],
  'image prune': ['POST /images/prune'],
  'image attestations': ['GET /images/{name*}/attestations'],
  'image build': ['POST /build', 'POST /build/prune', 'POST /build/cancel', 'POST /session', 'POST /grpc'],
  'distribution inspect': ['GET /distribution/{name*}/json'],
  'registry login': ['POST /auth'],
  'disk usage': ['GET /system/df'],
  networks: [
    'GET /networks',
    'GET /networks/',
    'GET /networks/{id}',
    'POST /networks/create',
    'POST /networks/prune',
    'POST /networks/{id}/connect',
    'POST /networks/{id}/disconnect',
    'DELETE /networks/{id}',
  ],
  volumes: [
    'GET /volumes',
    'GET /volumes/{name}',
    'POST /volumes/create',
    'POST /volumes/prune',
    'PUT /volumes/{name}',
    'DELETE /volumes/{name}',
  ],
  plugins: [
    'GET /plugins',
    'GET /plugins/privileges',
    'GET /plugins/{name*}/json',
    'POST /plugins/pull',
    'POST /plugins/create',
    'POST /plugins/{name*}/enable',
    'POST /plugins/{name*}/disable',
    'POST /plugins/{name*}/push',
    'POST /plugins/{name*}/upgrade',
    'POST /plugins/{name*}/set',
    'DELETE /plugins/{name*}',
  ],
  swarm: [
    'GET /swarm',
    'GET /swarm/unlockkey',
    'POST /swarm/init',
    'POST /swarm/join',
    'POST /swarm/leave',
    'POST /swarm/update',
    'POST /swarm/unlock',
    ...resource('services'),
    'GET /services/{id}/logs',
    ...resource('nodes'),
    'GET /tasks',
    'GET /tasks/{id}',
    'GET /tasks/{id}/logs',
    ...resource('secrets'),
    ...resource('configs'),
  ],
};

function resource(name: string): string[] {
  return [
    `GET /${name}`,
    `GET /${name}/{id}`,
    `POST /${name}/create`,
    `POST /${name}/{id}/update`,
    `DELETE /${name}/{id}`,
  ];
}

/**
 * `not supported` in the message is what `docker inspect NAME` looks for: it tries one kind of object after the other, and
 * goes on to the next where it reads that.
 */
export const absentRoutes: readonly Route[] = Object.entries(absent).flatMap(([what, routes]) =>
  routes.map((route): Route => {
    const [method = '', path = ''] = route.split(' ');
    const handler = async (): Promise<never> => {
      throw unimplemented(`${what} not supported yet: ${method} ${path.replaceAll('*', '')}`);
    };
    return { method, path, handler };
  }),
);
