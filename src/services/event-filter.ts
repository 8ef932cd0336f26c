import { parseFilters } from '#base/filters.ts';
import type { Event, EventCodec } from '#core/events.ts';

/**
 * Whether an event passes any of the filters; none let all pass. A filter sees `namespace`, `topic`, and the fields of the
 * message under `event`.
 */
export function eventFilter(filters: readonly string[], codec: EventCodec | undefined): (event: Event) => boolean {
  const match = parseFilters(filters);
  return (event) => match((path) => fieldOf(event, path, codec));
}

function fieldOf(event: Event, [first, ...rest]: readonly string[], codec: EventCodec | undefined): string | undefined {
  // As everywhere with containerd, an empty value counts as one that is not there.
  if (first === 'namespace') return event.namespace || undefined;
  if (first === 'topic') return event.topic || undefined;
  return first === 'event' ? codec?.field(event.payload, rest) : undefined;
}
