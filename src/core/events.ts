import type { Any } from './any.ts';

/** An event in containerd's words. `payload` is plain data that a door encodes, or an Any that a client published. */
export interface Event {
  readonly timestamp: Date;
  readonly namespace: string;
  /** Such as `/tasks/exit`. */
  readonly topic: string;
  readonly payload: EventPayload;
}

export type EventPayload =
  | { readonly kind: 'any'; readonly any: Any }
  /** `type` is the message name under `containerd.events`, such as `TaskExit`; fields are its JSON names (camelCase). */
  | { readonly kind: 'plain'; readonly type: string; readonly fields: Readonly<Record<string, unknown>> };
