import type { Tree } from './command.ts';

export const contentTree: Tree = {};
