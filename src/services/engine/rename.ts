import type { Call } from '#base/call.ts';
import { invalid } from '#base/errors.ts';
import { keyOf, type EngineHouse } from './house.ts';
import { checkName, reserveName } from './names.ts';
import { nameOf, resolve } from './resolve.ts';

/** Gives a container another name; its label follows, so that other doors' clients see the same. */
export async function rename(house: EngineHouse, call: Call, ref: string, name: string): Promise<void> {
  const { id } = resolve(house, call, ref);
  using _lock = await house.locks.hold(keyOf(call.namespace, id), call.signal);
  const container = resolve(house, call, id);
  const fresh = checkName(name);
  if (fresh === nameOf(house, call, container)) {
    throw invalid('Renaming a container with the same name as its current name');
  }
  reserveName(house, call, fresh, id);
  const { createdAt: _created, updatedAt: _updated, ...rest } = container;
  try {
    await house.containers.update(call, { ...rest, labels: { ...container.labels, 'nerdctl/name': fresh } }, [
      'labels',
    ]);
  } catch (error) {
    house.ledger.names.release(call.namespace, fresh);
    throw error;
  }
}
