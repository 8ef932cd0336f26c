import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProgressView } from './progress.ts';

const moving = (id: string, current: number) => ({
  status: 'Downloading',
  id,
  progressDetail: { current, total: 1000 },
});
const still = (id: string, status: string) => ({ status, id, progressDetail: {} });

/** What a screen of a terminal shows after all that was drawn. */
function screen(text: string): string[] {
  const lines = [''];
  let row = 0;
  // Only what the view uses: up, down, erase the line, return, newline.
  for (const [, move, letter, other] of text.matchAll(/\u001b\[(\d+)([ABK])|([\s\S])/g)) {
    if (letter === 'A') row -= Number(move);
    else if (letter === 'B') row += Number(move);
    else if (letter === 'K') lines[row] = '';
    else if (other === '\n') row += 1;
    else if (other !== '\r') lines[row] = (lines[row] ?? '') + (other ?? '');
    lines[row] ??= '';
    assert.ok(row >= 0, 'the cursor left the screen');
  }
  return lines;
}

test('on a terminal each layer keeps its row', () => {
  const view = new ProgressView(1, { columns: 100, rows: 24 });
  const messages = [
    { status: 'Pulling from library/x', id: 'latest' },
    still('aaa', 'Pulling fs layer'),
    still('bbb', 'Pulling fs layer'),
    still('ccc', 'Pulling fs layer'),
    moving('aaa', 500),
    moving('ccc', 1000),
    still('bbb', 'Pull complete'),
    still('aaa', 'Pull complete'),
    { status: 'Status: done' },
  ];
  assert.deepEqual(screen(messages.map((message) => view.draw(message)).join('')), [
    'latest: Pulling from library/x',
    'aaa: Pull complete',
    'bbb: Pull complete',
    'ccc: Downloading      1kB/1kB',
    'Status: done',
    '',
  ]);
});

test('rows fit the terminal, and one that has scrolled away is left alone', () => {
  const view = new ProgressView(1, { columns: 20, rows: 3 });
  for (const id of ['a', 'b', 'c', 'd'])
    assert.ok(view.draw(still(id, 'Pulling fs layer, slowly')).trimEnd().length <= 20);
  assert.equal(view.draw(still('a', 'Pull complete')), '');
  assert.notEqual(view.draw(still('d', 'Pull complete')), '');
});

test('without a terminal there are lines, no bars, and nothing twice', () => {
  const view = new ProgressView(1, 'lines');
  const messages = [
    still('aaa', 'Waiting'),
    still('aaa', 'Waiting'),
    moving('aaa', 1),
    still('aaa', 'Pull complete'),
    { status: 'Digest: x' },
  ];
  assert.equal(messages.map((message) => view.draw(message)).join(''), 'aaa: Waiting\naaa: Pull complete\nDigest: x\n');
});
