import type { Tree } from './command.ts';

export const imagesTree: Tree = {};
