import { invalid } from '#base/errors.ts';
import type { Mount } from './types.ts';

/** Reads `type=bind,src=/a,dst=/b,options=rbind:ro`; a value that holds a comma stands in double quotes, as in CSV. */
export function parseMount(text: string): Mount {
  const mount: Mount = { destination: '' };
  for (const field of fields(text)) {
    const equals = field.indexOf('=');
    if (equals < 0) throw invalid(`mount "${text}": "${field}" is not of the form key=value`);
    const [key, value] = [field.slice(0, equals), field.slice(equals + 1)];
    if (key === 'type') mount.type = value;
    else if (key === 'source' || key === 'src') mount.source = value;
    else if (key === 'destination' || key === 'dst') mount.destination = value;
    else if (key === 'options') mount.options = value.split(':');
    else throw invalid(`mount "${text}": option "${key}" is not supported: type, src, dst and options are`);
  }
  return mount;
}

/** One line of CSV (RFC 4180). */
function fields(text: string): string[] {
  const found: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^,"]*))(,|$)/y;
  for (;;) {
    const match = field.exec(text);
    if (match === null) throw invalid(`mount "${text}": a quote is out of place`);
    found.push(match[1] === undefined ? match[2]! : match[1].replaceAll('""', '"'));
    if (match[3] === '') return found;
  }
}
