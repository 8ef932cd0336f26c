import type { Group, Leaf } from './command.ts';

/** The commands around containers: what they are and where they are loaded from. */
export const containerTree: Readonly<
  Partial<Record<'containers' | 'run' | 'tasks' | 'sandboxes' | 'shim', Leaf | Group>>
> = {};
