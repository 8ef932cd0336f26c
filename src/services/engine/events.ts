import type { Call } from '#base/call.ts';
import { codeOf } from '#base/errors.ts';
import type { Event } from '#core/events.ts';
import type { EngineObject } from './types.ts';
import { keyedFilter, type Filters } from './filters.ts';
import type { EngineHouse } from './house.ts';
import { familiarOr } from './image-model.ts';
import { recordOf } from './record.ts';

/** What became of which thing. */
interface Told {
  readonly type: 'container' | 'image';
  readonly action: string;
  readonly id: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** containerd's topics, and Docker's word for each. Others mean nothing to Docker's clients. */
const containerActions: Readonly<Record<string, string>> = {
  '/containers/create': 'create',
  '/containers/delete': 'destroy',
  '/tasks/start': 'start',
  '/tasks/exit': 'die',
  '/tasks/oom': 'oom',
  '/tasks/paused': 'pause',
  '/tasks/resumed': 'unpause',
  '/tasks/exec-added': 'exec_create',
  '/tasks/exec-started': 'exec_start',
};
const imageActions: Readonly<Record<string, string>> = {
  '/images/create': 'tag',
  '/images/update': 'tag',
  '/images/delete': 'untag',
};

/** Docker's events, from this call on: it listens before it returns. */
export function events(house: EngineHouse, call: Call, filters: Filters): AsyncIterable<EngineObject> {
  const source = house.events.subscribe([`namespace=="${call.namespace}"`], call.signal);
  // A container's name and labels are gone when its end is told.
  const remembered = new Map<string, Readonly<Record<string, string>>>();
  for (const { id } of house.containers.list(call, [])) remembered.set(id, attributesOf(house, call, id));
  return translate(house, call, source, remembered, filters);
}

async function* translate(
  house: EngineHouse,
  call: Call,
  source: AsyncIterable<Event>,
  remembered: Map<string, Readonly<Record<string, string>>>,
  filters: Filters,
): AsyncGenerator<EngineObject> {
  for await (const event of source) {
    const told = tell(house, call, event, remembered);
    if (told !== undefined && passes(told, filters)) yield shape(told, event.timestamp);
  }
}

function tell(
  house: EngineHouse,
  call: Call,
  event: Event,
  remembered: Map<string, Readonly<Record<string, string>>>,
): Told | undefined {
  if (event.payload.kind !== 'plain') return undefined;
  const { fields } = event.payload;
  const text = (key: string): string => (typeof fields[key] === 'string' ? fields[key] : '');
  const imageAction = imageActions[event.topic];
  if (imageAction !== undefined) {
    const name = familiarOr(text('name'));
    return { type: 'image', action: imageAction, id: name, attributes: { name } };
  }
  const action = containerActions[event.topic];
  if (action === undefined) return undefined;
  const id = text('containerId') || text('id');
  const attributes = { ...(attributesOf(house, call, id) ?? {}), ...(remembered.get(id) ?? {}) };
  if (action === 'create') remembered.set(id, attributes);
  if (action === 'destroy') remembered.delete(id);
  if (action !== 'die') return { type: 'container', action, id, attributes };
  // An exec's end comes under the same topic, told by its id.
  const execId = text('id');
  const exitCode = String(Number(fields['exitStatus'] ?? 0));
  if (execId !== '' && execId !== id)
    return { type: 'container', action: 'exec_die', id, attributes: { ...attributes, execID: execId, exitCode } };
  return { type: 'container', action, id, attributes: { ...attributes, exitCode } };
}

function attributesOf(house: EngineHouse, call: Call, id: string): Readonly<Record<string, string>> {
  const container = house.containers.find(call, id);
  if (container === undefined) return {};
  try {
    const record = recordOf(container);
    const labels = record?.config.Labels ?? container.labels;
    const name = house.ledger.names.nameOf(call.namespace, id) ?? id;
    return { ...labels, image: record?.config.Image ?? familiarOr(container.image), name };
  } catch (error) {
    if (codeOf(error) !== 'data-loss') throw error;
    return {};
  }
}

function passes({ type, action, id, attributes }: Told, filters: Filters): boolean {
  const name = attributes['name'] ?? '';
  const isThing =
    (kind: string) =>
    (value: string): boolean =>
      type === kind && (id.startsWith(value) || name === value);
  return (
    keyedFilter(filters, 'type', (value) => value === type) &&
    keyedFilter(filters, 'event', (value) => action === value || action.startsWith(`${value}:`)) &&
    keyedFilter(filters, 'container', isThing('container')) &&
    keyedFilter(filters, 'image', (value) =>
      [id, name, attributes['image']].some((text) => text === value || text?.startsWith(`${value}:`) === true),
    ) &&
    (filters.get('label') ?? []).every((wanted) => {
      const at = wanted.indexOf('=');
      return at < 0 ? wanted in attributes : attributes[wanted.slice(0, at)] === wanted.slice(at + 1);
    })
  );
}

function shape({ type, action, id, attributes }: Told, time: Date): EngineObject {
  const seconds = Math.trunc(time.getTime() / 1000);
  return {
    // Clients before API 1.22 read these three.
    ...(type === 'container' ? { status: action, id, from: attributes['image'] ?? '' } : { status: action, id }),
    Type: type,
    Action: action,
    Actor: { ID: id, Attributes: attributes },
    scope: 'local',
    time: seconds,
    // Nanoseconds do not fit a JSON number of ours exactly; milliseconds are what we know.
    timeNano: time.getTime() * 1_000_000,
  };
}
