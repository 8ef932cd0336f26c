/** One mount(2), in containerd's words. `target` is relative to the root it is mounted under; '' is the root itself. */
export interface Mount {
  readonly type: string;
  readonly source: string;
  readonly target?: string;
  readonly options: readonly string[];
}
