/** The root of the checkout. */
export const house: string;
/** What the scripts keep for themselves; ignored by git, safe to delete. */
export const cache: string;
/** Programs of Debian packages that were unpacked privately. */
export const privateBin: string;
/** The pinned Node, or undefined before `npm ci`. */
export function pinnedNode(): string | undefined;
export function node(): string;
export function environment(more?: Readonly<Record<string, string>>): NodeJS.ProcessEnv;
