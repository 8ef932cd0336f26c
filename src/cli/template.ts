import { Failure } from './failure.ts';
import { callFunction, printValue, truthy, type Value } from './template-values.ts';

/**
 * Go's text templates as far as `--format` is used: fields, variables, pipelines, `if`, `range`, `with`, and Docker's
 * functions (`json`, `index`, `join`, `println`, …). What is missing is said, never skipped.
 */
export function renderTemplate(template: string, data: Value): string {
  const nodes = new TemplateParser(template).parse();
  return evaluateAll(nodes, { dot: data, variables: new Map([['$', data]]) });
}

type Term =
  | { readonly kind: 'literal'; readonly value: Value }
  | { readonly kind: 'path'; readonly root: string; readonly fields: readonly string[] }
  | { readonly kind: 'function'; readonly name: string }
  | { readonly kind: 'group'; readonly pipe: Pipe; readonly fields: readonly string[] };
type Pipe = readonly (readonly Term[])[];

type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'print'; readonly pipe: Pipe; readonly names: readonly string[] }
  | {
      readonly kind: 'if' | 'range' | 'with';
      readonly pipe: Pipe;
      readonly names: readonly string[];
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    };

interface Scope {
  readonly dot: Value;
  readonly variables: Map<string, Value>;
}

const fail = (message: string): Failure => new Failure(1, `template: ${message}`);

class TemplateParser {
  readonly #pieces: { text: string; action: boolean }[] = [];
  #at = 0;

  constructor(template: string) {
    let trimNext = false;
    const parts = template.split(/(\{\{.*?\}\})/s);
    for (const part of parts) {
      if (part.startsWith('{{') && part.endsWith('}}')) {
        let text = part.slice(2, -2);
        if (/^-\s/.test(text)) {
          const last = this.#pieces.at(-1);
          if (last !== undefined && !last.action) last.text = last.text.trimEnd();
          text = text.slice(1);
        }
        trimNext = /\s-$/.test(text);
        if (trimNext) text = text.slice(0, -1);
        this.#pieces.push({ text: text.trim(), action: true });
      } else {
        if (part.includes('{{')) throw fail(`unclosed action in "${part}"`);
        this.#pieces.push({ text: trimNext ? part.trimStart() : part, action: false });
        trimNext = false;
      }
    }
  }

  parse(): Node[] {
    const { nodes, end } = this.#until();
    if (end !== undefined) throw fail(`unexpected {{${end}}}`);
    return nodes;
  }

  /** Nodes up to `end` or `else`, or to the end of the template. */
  #until(): { nodes: Node[]; end: string | undefined } {
    const nodes: Node[] = [];
    while (this.#at < this.#pieces.length) {
      const { text, action } = this.#pieces[this.#at++]!;
      if (!action) nodes.push({ kind: 'text', text });
      else if (text === 'end' || text === 'else' || text.startsWith('else ')) return { nodes, end: text };
      else if (!text.startsWith('/*')) nodes.push(this.#action(text));
    }
    return { nodes, end: undefined };
  }

  #action(text: string): Node {
    const word = /^(if|range|with)\b\s*(.*)$/s.exec(text);
    const { names, pipe } = parseStatement(word?.[2] ?? text);
    if (word === null) return { kind: 'print', pipe, names };
    const kind = word[1] as 'if' | 'range' | 'with';
    const { nodes: body, end } = this.#until();
    if (end === undefined) throw fail(`{{${text}}} has no {{end}}`);
    return { kind, pipe, names, body, otherwise: this.#otherwise(end) };
  }

  #otherwise(end: string): Node[] {
    if (end === 'end') return [];
    if (end.startsWith('else ')) return [this.#action(end.slice('else '.length).trim())];
    const rest = this.#until();
    if (rest.end !== 'end') throw fail('{{else}} has no {{end}}');
    return rest.nodes;
  }
}

const token =
  /\s*(?:("(?:[^"\\]|\\.)*"|`[^`]*`)|(-?\d+(?:\.\d+)?)|(\$\w*(?:\.\w+)*)|((?:\.\w+)+|\.)|(\w+)|(:=|[|(),]))/gy;

function parseStatement(text: string): { names: string[]; pipe: Pipe } {
  const tokens: string[] = [];
  let end = 0;
  for (const match of text.matchAll(token)) {
    tokens.push(match[0].trim());
    end = match.index + match[0].length;
  }
  if (text.slice(end).trim() !== '') throw fail(`cannot read "${text.slice(end).trim()}" in {{${text}}}`);
  const assign = tokens.indexOf(':=');
  const names = assign < 0 ? [] : tokens.slice(0, assign).filter((name) => name !== ',');
  const reader = { tokens: tokens.slice(assign + 1), at: 0 };
  const pipe = parsePipe(reader);
  if (reader.at < reader.tokens.length) throw fail(`unexpected "${reader.tokens[reader.at]}" in {{${text}}}`);
  return { names, pipe };
}

function parsePipe(reader: { readonly tokens: readonly string[]; at: number }): Pipe {
  const commands: Term[][] = [[]];
  while (reader.at < reader.tokens.length && reader.tokens[reader.at] !== ')') {
    const text = reader.tokens[reader.at++]!;
    if (text === '|') commands.push([]);
    else commands.at(-1)!.push(parseTerm(text, reader));
  }
  if (commands.some((terms) => terms.length === 0)) throw fail('an action or a pipe is empty');
  return commands;
}

function parseTerm(text: string, reader: { readonly tokens: readonly string[]; at: number }): Term {
  if (text.startsWith('"')) return { kind: 'literal', value: JSON.parse(text) as string };
  if (text.startsWith('`')) return { kind: 'literal', value: text.slice(1, -1) };
  if (/^-?\d/.test(text)) return { kind: 'literal', value: Number(text) };
  if (text.startsWith('.')) return { kind: 'path', root: '.', fields: text.split('.').filter((part) => part !== '') };
  if (text.startsWith('$')) {
    const [root = '$', ...fields] = text.split('.');
    return { kind: 'path', root, fields };
  }
  if (text === '(') {
    const pipe = parsePipe(reader);
    if (reader.tokens[reader.at++] !== ')') throw fail('a parenthesis is not closed');
    const next = reader.tokens[reader.at];
    const fields = next?.startsWith('.') === true && next !== '.' ? next.split('.').filter((part) => part !== '') : [];
    if (fields.length > 0) reader.at += 1;
    return { kind: 'group', pipe, fields };
  }
  if (text === 'true' || text === 'false') return { kind: 'literal', value: text === 'true' };
  if (text === 'nil') return { kind: 'literal', value: null };
  return { kind: 'function', name: text };
}

const evaluateAll = (nodes: readonly Node[], scope: Scope): string =>
  nodes.map((node) => evaluate(node, scope)).join('');

function evaluate(node: Node, scope: Scope): string {
  if (node.kind === 'text') return node.text;
  const value = evaluatePipe(node.pipe, scope);
  if (node.kind === 'print') {
    const [name] = node.names;
    if (name === undefined) return printValue(value);
    scope.variables.set(name, value);
    return '';
  }
  if (node.kind === 'range') return range(node.names, node.body, node.otherwise, value, scope);
  if (!truthy(value)) return evaluateAll(node.otherwise, scope);
  const inner = { dot: node.kind === 'with' ? value : scope.dot, variables: new Map(scope.variables) };
  if (node.names[0] !== undefined) inner.variables.set(node.names[0], value);
  return evaluateAll(node.body, inner);
}

function range(
  names: readonly string[],
  body: readonly Node[],
  otherwise: readonly Node[],
  value: Value,
  scope: Scope,
): string {
  const entries: [Value, Value][] = Array.isArray(value)
    ? value.map((item, index) => [index, item])
    : typeof value === 'object' && value !== null
      ? Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
      : [];
  if (entries.length === 0) return evaluateAll(otherwise, scope);
  return entries
    .map(([key, item]) => {
      const variables = new Map(scope.variables);
      const [first, second] = names;
      if (second !== undefined) variables.set(first!, key).set(second, item);
      else if (first !== undefined) variables.set(first, item);
      return evaluateAll(body, { dot: item, variables });
    })
    .join('');
}

function evaluatePipe(pipe: Pipe, scope: Scope): Value {
  let piped: Value[] = [];
  for (const [first, ...rest] of pipe) {
    const parameters = [...rest.map((term) => evaluateTerm(term, scope)), ...piped];
    if (first!.kind === 'function') piped = [callFunction(first!.name, parameters)];
    else if (parameters.length > 0) throw fail('only a function takes arguments');
    else piped = [evaluateTerm(first!, scope)];
  }
  return piped[0] ?? null;
}

function evaluateTerm(term: Term, scope: Scope): Value {
  switch (term.kind) {
    case 'literal':
      return term.value;
    case 'function':
      return callFunction(term.name, []);
    case 'group':
      return walk(evaluatePipe(term.pipe, scope), term.fields);
    case 'path': {
      if (term.root === '.') return walk(scope.dot, term.fields);
      const value = scope.variables.get(term.root);
      if (value === undefined) throw fail(`undefined variable "${term.root}"`);
      return walk(value, term.fields);
    }
  }
}

function walk(from: Value, fields: readonly string[]): Value {
  let value = from;
  for (const field of fields) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !(field in value)) {
      throw fail(`there is no field "${field}"`);
    }
    value = (value as Readonly<Record<string, Value>>)[field] ?? null;
  }
  return value;
}
