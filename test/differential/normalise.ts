import type { Outcome } from '../support/guests.ts';
import type { Line } from './scenario.ts';
import type { Side } from './side.ts';

/** What differs from one run to the next on one and the same daemon, and what it becomes. */
const passing: readonly (readonly [RegExp, string])[] = [
  [/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?Z| ?[+-]\d\d:?\d\d)?( UTC)?/g, '<time>'],
  [/"(seconds|nanos)": ?\d+/g, '"$1":<time>'],
  [/(elapsed: *)\d+(\.\d+)? ?s.*$/gm, '$1<time>'],
  [/\b\d+(\.\d+)?(ns|µs|ms)\b/g, '<time>'],
  [/\bdone: \d+(\.\d+)?s\b/g, 'done: <time>'],
  [/\b(about |less than )?(a|an|\d+) (second|minute|hour|day|week|month|year)s?( ago| from now)?\b/gi, '<age>'],
  [/\b(importing|unpacking|extracting)(.*?)elapsed: \d.*$/gm, '$1$2elapsed: <time>'],
  // Where a snapshotter keeps a tree: a number of its own.
  [/<trees>\/\d+\/(?=work)/g, '<tree>/'],
  [/<trees>\/\d+(\/fs)?/g, '<tree>'],
  // Rows of the store below: a namespace, a number, the key.
  [/(<namespace>)\/\d+\//g, '$1/<id>/'],
  // What containerd's clients name leases and temporary snapshots: nanoseconds, and three random bytes.
  [/(?<![\w.])\d{1,9}-[A-Za-z0-9_-]{4}(?![A-Za-z0-9_-])/g, '<id>'],
  // A blob that another scenario has brought is there, or is not yet there.
  [/^(\S+-sha256:[0-9a-f]{64}: +)exists /gm, '$1done '],
  // What ctr says when it ends while it still asks how far things are.
  [/^time=\S+ level=error msg="(?:failed to get content info|active check failed)" error="context canceled"\n/gm, ''],
  // Where in its own code a client of 1.6 fell.
  [/^goroutine \d+ \[running\]:\n(.*\n)*/gm, ''],
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, '<uuid>'],
  [/\/tmp\/[a-z-]*\d{6,}\b/g, '/tmp/<id>'],
  // The reference may have another host name.
  [/"HOSTNAME=[^"]*"/g, '"HOSTNAME=<host>"'],
  // What containerd's clients make of the daemon's address to find a shim.
  [/(\/run\/containerd\/s\/)[0-9a-f]{64}/g, '$1<id>'],
  [/containerd-mount\d+/g, 'containerd-mount<id>'],
];

/** Labels come in any order. */
const labels = /(?<=\s|^)[\w./-]+=\S*,\S*/gm;

/** Gives what one line did in the form in which both sides are compared. */
export function normalise(outcome: Outcome, scenario: string, line: Line, side: Side): Outcome {
  const own = (text: string): string => {
    let result = lastFrame(text).replaceAll(side.namespace(scenario), '<namespace>');
    for (const [from, to] of side.parts.names) result = result.replaceAll(from, to);
    for (const [from, to] of passing) result = result.replaceAll(from, to);
    result = result.replaceAll(labels, (list) => list.split(',').toSorted().join(','));
    // Columns are as wide as the longest cell of them, ids and times with the rest.
    result = result.replaceAll(/[ \t]{2,}|\t/g, '  ').replaceAll(/[ \t]+$/gm, '');
    return line.unordered === true ? result.split('\n').toSorted().join('\n') : result;
  };
  return { code: outcome.code, stdout: own(outcome.stdout), stderr: own(outcome.stderr) };
}

/**
 * A client of 2.1 shows of a transfer what it has heard of when the answer comes, which may be nothing, from one run to
 * the next: the image's name, the parts below it, the target, the time.
 */
const heard =
  /^(?:\S+\s+(?:fetching image content|saved|pushing content|pushed content)|[ │├└─]*[├└]──.*|application\/\S+ sha256:\S+|(?:Completed pull from|Pulling from|Completed push to|Pushing to) OCI Registry .*|Import\w*\s+elapsed: .*|\S+:\s+resolving .*\nelapsed: .*)\n/gm;

/** What ctr says of a transfer's progress is said again and again, each time with one line of the time at its end. */
function lastFrame(text: string): string {
  const ends = [...text.matchAll(/^.*elapsed: .*\n/gm)].map((match) => match.index + match[0].length);
  const start = ends.at(-2);
  const last = start === undefined ? text : text.slice(start);
  const frame = last.replaceAll(heard, '');
  // Parts are shown in the order in which they began.
  return frame.replaceAll(/^(?:\S+-sha256:\S+ .*\n)+/gm, (parts) =>
    parts.split('\n').toSorted().slice(1).concat('').join('\n'),
  );
}
