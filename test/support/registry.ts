/** A real docker-registry for tests, on loopback; see the shared maker for what it does. */
export {
  findRegistry,
  selfSigned,
  startRegistry,
  testUser,
  type RegistryStart,
  type RunningRegistry,
  type TokenAuth,
} from '../../scripts/lib/docker-registry.mjs';

import { findRegistry } from '../../scripts/lib/docker-registry.mjs';

/** For `test(name, { skip: noRegistry() }, …)`: why this machine cannot run such a test, or false. */
export const noRegistry = (): string | false =>
  findRegistry() === undefined ? 'docker-registry is not installed (package docker-registry)' : false;
