import type { Any } from './any.ts';

/** An event in containerd's words. `payload` is plain data that a door encodes, or an Any that a client published. */
export interface Event {
  readonly timestamp: Date;
  /** What the timestamp has beyond its milliseconds, for those that others have stamped. */
  readonly nanos?: number;
  readonly namespace: string;
  /** Such as `/tasks/exit`. */
  readonly topic: string;
  readonly payload: EventPayload;
}

export type EventPayload =
  | { readonly kind: 'any'; readonly any: Any }
  /** `type` is the message name under `containerd.events`, such as `TaskExit`; fields are its JSON names (camelCase). */
  | { readonly kind: 'plain'; readonly type: string; readonly fields: Readonly<Record<string, unknown>> };

/** Translates payloads to and from the messages that clients know. */
export interface EventCodec {
  encode(payload: EventPayload): Any;
  /** The value of a field that a filter asks for by the names of the message; undefined where containerd has none. */
  field(payload: EventPayload, path: readonly string[]): string | undefined;
}
