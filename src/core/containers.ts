import type { Any, Labels } from './any.ts';

/** What is to be run: a spec, a root file system and a runtime. It runs nothing itself: tasks do. */
export interface Container {
  readonly id: string;
  /** Name of the image it was made from; '' when it was made from a rootfs. */
  readonly image: string;
  readonly labels: Labels;
  /** The OCI runtime spec as JSON in an Any. */
  readonly spec?: Any;
  readonly runtime: { readonly name: string; readonly options?: Any };
  readonly snapshotter: string;
  readonly snapshotKey: string;
  readonly sandbox: string;
  readonly extensions: Readonly<Record<string, Any>>;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}
