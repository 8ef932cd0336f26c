/** What of ctr is not asked of both sides, and why: a command, or a command and a flag, as `unasked` words it. */
export const untried: Readonly<Record<string, string>> = {};
