/** A message of a type we may not know, kept and handed on as it came (google.protobuf.Any). */
export interface Any {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

export type Labels = Readonly<Record<string, string>>;
