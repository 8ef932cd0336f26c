import { unimplemented } from '#base/errors.ts';
import type { Event, EventPayload } from '#core/events.ts';

/** Tells everyone what happened. Publishing never waits for a subscriber: one too slow (10,000 behind) is cut off. */
export class Events {
  publish(_namespace: string, _topic: string, _payload: EventPayload): void {
    throw unimplemented('events.publish');
  }
  /** Hands on an event that someone else stamped. */
  forward(_event: Event): void {
    throw unimplemented('events.forward');
  }
  /** What happens from this call on (it subscribes at once, before the first `next`). Ends with the signal. */
  subscribe(_filters: readonly string[], _signal: AbortSignal): AsyncIterable<Event> {
    throw unimplemented('events.subscribe');
  }
}
