import { globSync, readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import { HakoError } from '#base/errors.ts';
import { checkFile, isTable, type RawTable } from './check.ts';
import type { Field, TableField } from './fields.ts';
import { schema, type Config } from './schema.ts';

export const defaultConfigFile = '/etc/hakobune/config.toml';

export interface LoadedConfig {
  readonly config: Config;
  /** One line each, for the log. */
  readonly warnings: readonly string[];
  /** The files that were read, in the order of their weight: the last one wins. */
  readonly files: readonly string[];
}

/** What the command line says. It wins over every file. */
export interface Overrides {
  readonly root?: string;
  readonly state?: string;
  readonly address?: string;
  readonly dockerAddress?: string;
  readonly logLevel?: Config['debug']['level'];
}

const maxFileBytes = 1_048_576;
const maxFiles = 200;

/**
 * Reads the configuration: the file, what it imports, the command line. Without `file` the default file is read if it
 * is there. Throws invalid-argument or unimplemented with a line that names file and key.
 */
export function loadConfig(file: string | undefined, overrides: Overrides = {}): LoadedConfig {
  const reader = new Reader();
  const start = file === undefined ? defaultConfigFile : resolve(file);
  if (file !== undefined || statSync(start, { throwIfNoEntry: false }) !== undefined) reader.read(start, []);
  const merged = merge(reader.values, flagValues(overrides), schema);
  const config = derive(withDefaults(schema, merged) as Config);
  return { config, warnings: reader.warnings, files: reader.files };
}

/** What holds where no file and no flag says otherwise. */
export const defaultConfig = (): Config => derive(withDefaults(schema, {}) as Config);

class Reader {
  values: RawTable = {};
  readonly warnings: string[] = [];
  readonly files: string[] = [];

  /** Reads one file and, after it, its imports. `importers` is the way here, so that a circle is seen. */
  read(file: string, importers: readonly string[]): void {
    if (importers.includes(file)) {
      const circle = [...importers.slice(importers.indexOf(file)), file].join(' -> ');
      throw new HakoError('invalid-argument', `${importers.at(-1)}: imports go in a circle: ${circle}`);
    }
    // Reached a second time by another way: its values are in already.
    if (this.files.includes(file)) return;
    if (this.files.length >= maxFiles) {
      throw new HakoError('invalid-argument', `${importers[0] ?? file}: imports more than ${maxFiles} files`);
    }
    this.files.push(file);
    const checked = checkFile(schema, parseFile(file, importers.at(-1)), file);
    this.warnings.push(...checked.warnings);
    this.values = merge(this.values, checked.values, schema);
    for (const pattern of (checked.values['imports'] as readonly string[] | undefined) ?? []) {
      for (const found of this.#expand(pattern, file)) this.read(found, [...importers, file]);
    }
  }

  #expand(pattern: string, file: string): string[] {
    const absolute = resolve(dirname(file), pattern);
    if (!/[*?[{]/.test(pattern)) return [absolute];
    return globSync(absolute).toSorted();
  }
}

function parseFile(file: string, importer: string | undefined): RawTable {
  const from = importer === undefined ? '' : `${importer}: imports: `;
  let text: string;
  try {
    const found = statSync(file);
    if (!found.isFile()) throw new HakoError('invalid-argument', `${from}${file}: not a regular file`);
    if (found.size > maxFileBytes) throw new HakoError('invalid-argument', `${from}${file}: larger than 1 MiB`);
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof HakoError) throw error;
    const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : (error as Error).message;
    throw new HakoError('invalid-argument', `${from}${file}: ${reason}`, error);
  }
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split('\n', 1)[0]!.replace(/^Invalid TOML document: /, '');
    throw new HakoError('invalid-argument', `${file}:${error.line}:${error.column}: ${reason}`, error);
  }
}

/** `over` wins key by key; lists of the top table add up. */
function merge(under: RawTable, over: RawTable, field: Field | undefined): RawTable {
  const out: Record<string, unknown> = Object.assign(Object.create(null), under);
  for (const [key, value] of Object.entries(over)) {
    const before = out[key];
    const child = field?.kind === 'table' ? field.fields[key] : field?.kind === 'entries' ? field.of : undefined;
    if (isTable(before) && isTable(value)) out[key] = merge(before, value, child);
    else if (child?.kind === 'list' && Array.isArray(before) && Array.isArray(value)) {
      out[key] = [...new Set([...(before as string[]), ...(value as string[])])];
    } else out[key] = value;
  }
  return out;
}

function withDefaults(table: TableField, values: RawTable): RawTable {
  const out: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(table.fields)) {
    const value = values[key];
    if (field.kind === 'table') out[key] = withDefaults(field, (value as RawTable | undefined) ?? {});
    else if (field.kind === 'entries') out[key] = entriesWithDefaults(field.of, (value as RawTable | undefined) ?? {});
    else if (field.kind === 'free') out[key] = value ?? {};
    else out[key] = value ?? field.default;
  }
  return out;
}

const entriesWithDefaults = (of: Field, values: RawTable): RawTable =>
  Object.fromEntries(
    Object.entries(values).map(([key, value]) => [
      key,
      of.kind === 'table' ? withDefaults(of, value as RawTable) : value,
    ]),
  );

/** Sockets follow the state directory unless they are named. */
function derive(config: Config): Config {
  const address = config.grpc.address || `${config.state}/hakobune.sock`;
  return {
    ...config,
    grpc: { ...config.grpc, address },
    ttrpc: { ...config.ttrpc, address: config.ttrpc.address || `${address}.ttrpc` },
    docker: { ...config.docker, address: config.docker.address || `${config.state}/docker.sock` },
  };
}

function flagValues(overrides: Overrides): RawTable {
  const given = (key: string, value: string | undefined): RawTable => (value === undefined ? {} : { [key]: value });
  const where = (key: string, value: string | undefined): RawTable =>
    given(key, value === undefined ? value : resolve(value));
  return {
    ...where('root', overrides.root),
    ...where('state', overrides.state),
    grpc: where('address', overrides.address),
    docker: where('address', overrides.dockerAddress),
    debug: given('level', overrides.logLevel),
  };
}
