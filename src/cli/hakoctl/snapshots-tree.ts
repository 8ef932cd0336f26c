import type { Tree } from './command.ts';

export const snapshotsTree: Tree = {};
