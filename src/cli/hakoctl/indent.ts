/** JSON with line breaks, and otherwise as it is written: numbers, escapes and the order of keys are somebody's digest. */
export function indentJson(text: string, step: string): string {
  let out = '';
  let depth = 0;
  const newLine = (): string => `\n${step.repeat(depth)}`;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g)) {
    const opened = out.endsWith('{') || out.endsWith('[');
    if (token === '{' || token === '[') {
      if (opened) out += newLine();
      out += token;
      depth += 1;
      continue;
    }
    if (token === '}' || token === ']') {
      depth -= 1;
      out += opened ? token : newLine() + token;
      continue;
    }
    if (opened) out += newLine();
    if (token === ',') out += token + newLine();
    else if (token === ':') out += ': ';
    else out += token;
  }
  return out;
}
