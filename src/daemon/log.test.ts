import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from './log.ts';

function sink(isTTY: boolean): { isTTY: boolean; lines: string[]; write(line: string): void } {
  const lines: string[] = [];
  return { isTTY, lines, write: (line) => lines.push(line) };
}

test('off a terminal a line is a JSON object with time, level and msg', () => {
  const to = sink(false);
  createLogger({ level: 'info', format: 'auto' }, to).log('warn', 'hull\nbreached', { deck: 3, big: 2n, msg: 'mine' });
  const { time, ...rest } = JSON.parse(to.lines[0]!) as Record<string, unknown>;
  assert.ok(!Number.isNaN(Date.parse(String(time))));
  assert.deepEqual(rest, { level: 'warning', msg: 'hull\nbreached', deck: 3, big: '2', 'fields.msg': 'mine' });
  assert.equal(to.lines[0]!.split('\n').length, 2);
});

test('on a terminal a line is for people, and nothing in it can move the cursor', () => {
  const to = sink(true);
  createLogger({ level: 'info', format: 'auto' }, to).log('info', 'a\x1b[2Jb\nc', { name: 'x\x1b[1m y' });
  assert.match(to.lines[0]!, /INFO/);
  // Only our own colours may begin an escape sequence.
  assert.deepEqual(to.lines[0]!.match(/\x1b\[(?!(0|36|90)m)/g), null);
  assert.ok(to.lines[0]!.includes('a\\x1b[2Jb\\nc'));
});

test('a level below the threshold is not written', () => {
  const to = sink(false);
  const logger = createLogger({ level: 'warn', format: 'json' }, to);
  logger.log('info', 'no');
  logger.log('error', 'yes');
  assert.equal(to.lines.length, 1);
});

test('`text` and `json` overrule what the terminal suggests', () => {
  const [plain, json] = [sink(false), sink(true)];
  createLogger({ level: 'info', format: 'text' }, plain).log('info', 'hello', { id: 'a b' });
  createLogger({ level: 'info', format: 'json' }, json).log('info', 'hello');
  assert.match(plain.lines[0]!, /^[\d:.]+ INFO  hello id="a b"\n$/);
  assert.ok(json.lines[0]!.startsWith('{'));
});
