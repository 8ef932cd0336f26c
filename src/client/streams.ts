import { HakoError, invalid } from '#base/errors.ts';
import { StreamDecoder, type StreamPart } from '#wire/docker-stream.ts';

const maxLine = 16 * 1024 * 1024;

/** Values that come as lines of JSON. */
export async function* jsonLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    let begin = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', begin)) {
      const line = text.slice(begin, end).trim();
      begin = end + 1;
      if (line !== '') yield parseLine(line);
    }
    text = text.slice(begin);
    if (text.length > maxLine)
      throw new HakoError('data-loss', `the daemon sent a line of more than ${maxLine} characters`);
  }
  if (text.trim() !== '') yield parseLine(text);
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    throw invalid(`the daemon sent a line that is not JSON: ${line.slice(0, 100)}`, error);
  }
}

/** A container's output: one stream from a terminal, otherwise stdout and stderr taken apart. */
export async function* outputParts(body: AsyncIterable<Uint8Array>, tty: boolean): AsyncGenerator<StreamPart> {
  const decoder = new StreamDecoder();
  for await (const chunk of body) {
    if (tty) yield { stream: 'stdout', data: chunk };
    else yield* decoder.decode(chunk);
  }
  decoder.finish();
}
