/** One way that a registry offers to prove who asks (RFC 9110, section 11.6.1). Names are in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const quoted = /"((?:[^"\\]|\\.)*)"/y;
const maxHeader = 16 * 1024;

/** Reads WWW-Authenticate, which may hold several challenges with commas between and inside them. */
export function parseChallenges(header: string): Challenge[] {
  const text = header.slice(0, maxHeader);
  const found: { scheme: string; parameters: Record<string, string> }[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const matched = pattern.exec(text);
    if (matched !== null) at = pattern.lastIndex;
    return matched;
  };
  const skip = (characters: string): void => {
    while (at < text.length && characters.includes(text[at]!)) at++;
  };
  while (at < text.length) {
    skip(' \t,');
    const word = take(token)?.[0];
    if (word === undefined) break;
    skip(' \t');
    const current = found.at(-1);
    if (text[at] !== '=' || current === undefined) {
      found.push({ scheme: word.toLowerCase(), parameters: {} });
      continue;
    }
    at++;
    skip(' \t');
    const value = take(quoted)?.[1]?.replace(/\\(.)/g, '$1') ?? take(token)?.[0] ?? '';
    current.parameters[word.toLowerCase()] = value;
  }
  return found;
}
