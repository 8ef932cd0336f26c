import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Progress } from '#client/containerd/transfer.ts';
import { TransferView } from './transfer-view.ts';

const digest = `sha256:${'0123456789ab'.padEnd(64, 'c')}`;
const progress = (name: string, event: string, more: Partial<Progress> = {}): Progress =>
  ({ name, event, parents: [], progress: 0n, total: 0n, ...more }) as Progress;

test('without a terminal, what happens is said once, and what is under way not at all', () => {
  const view = new TransferView(1, 'lines');
  assert.equal(view.take(progress('', 'Pulling')), 'Pulling\n');
  assert.equal(view.take(progress(`layer-${digest}`, 'downloading', { total: 10n })), '');
  assert.equal(view.take(progress(`layer-${digest}`, 'complete')), 'layer (0123456789ab): complete\n');
  assert.equal(view.take(progress(`layer-${digest}`, 'complete')), '');
  assert.equal(view.take(progress('example.com/a\u001b[2J:1', 'saved')), 'example.com/a?[2J:1: saved\n');
});

test('on a terminal, a layer stands below its image, and no line is wider than the terminal', () => {
  const view = new TransferView(1, { columns: 80, rows: 24 });
  const first = view.take(progress('example.com/app:1', 'fetching image content'));
  assert.match(first, /example\.com\/app:1 +fetching image content/);
  view.take(
    progress(`layer-${digest}`, 'downloading', { parents: ['example.com/app:1'], progress: 512n, total: 1024n }),
  );
  // Faster than ten times a second nothing is drawn: the clock is moved instead of waited for.
  const now = Date.now;
  Date.now = () => now() + 1000;
  try {
    const text = view.take(progress(`layer-${digest}`, 'downloading', { progress: 768n, total: 1024n }));
    assert.match(text, /└──layer \(0123456789ab\) +downloading +768\.0 B\/1\.0 KiB/);
    // oxlint-disable-next-line no-control-regex
    for (const line of text.replace(/\u001b\[[0-9]*[A-Z]/g, '').split('\n'))
      assert.ok(line.trimEnd().length <= 80, line);
  } finally {
    Date.now = now;
  }
});
