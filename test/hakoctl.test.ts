// Our own low-level command line at the containerd door. With HAKO_TEST_ADDRESS these tests run against a real containerd.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { elsewhere, openHarbour, openRegistry, type Harbour } from './support/daemon.ts';
import { eventually, output, refusal } from './support/expect.ts';
import { busyboxImage, pushImage, tar } from './support/images.ts';
import type { GuestOptions, Outcome } from './support/guests.ts';
import { noContainers } from './support/machine.ts';
import { startRegistry, testUser } from './support/registry.ts';

/** What only our daemon has. */
const ours = { skip: elsewhere === undefined ? false : 'containerd has no such service' };

describe('hakoctl', { skip: noContainers() }, () => {
  let harbour: Harbour;
  let image: string;
  let dir: string;
  const call = (words: readonly string[], options?: GuestOptions): Promise<Outcome> =>
    harbour.guests.hakoctl(words, options);
  const hakoctl = (words: string, options?: GuestOptions): Promise<Outcome> => call(words.split(' '), options);
  const json = async <T>(words: string): Promise<T> => JSON.parse(output(await hakoctl(`${words} --json`))) as T;
  const lines = async (words: string): Promise<string[]> =>
    output(await hakoctl(words))
      .split('\n')
      .filter((line) => line !== '');
  const targetOf = async (name: string): Promise<string> => {
    const found = await json<{ name: string; target: { digest: string } }[]>('images list');
    return found.find((one) => one.name === name)?.target.digest ?? '';
  };

  const undo = new AsyncDisposableStack();
  after(() => undo.disposeAsync());
  before(async () => {
    const registry = await openRegistry(undo);
    harbour = await openHarbour(undo);
    image = registry.busybox;
    dir = undo.adopt(mkdtempSync(join(tmpdir(), 'hakoctl-')), (made) => rmSync(made, { recursive: true, force: true }));
    const pulled = output(await hakoctl(`images pull --plain-http --label made=here ${image.replace(/:latest$/, '')}`));
    assert.match(pulled, /: saved\n/);
    // Where no terminal is, nothing is redrawn and nothing is coloured.
    assert.ok(!pulled.includes('\u001b'));
  });

  test('images list shows what was pulled, with its platform, labels and size', async () => {
    const [row] = (await json<Record<string, unknown>[]>('images list')).filter(({ name }) => name === image);
    assert.deepEqual(row?.['labels'], { made: 'here' });
    assert.ok((row?.['size'] as number) > 100_000);
    assert.ok((await lines('images ls -q')).includes(image));
    assert.match(output(await hakoctl('images ls')), /^REF +TYPE +DIGEST +SIZE +PLATFORMS +LABELS *\n/);
    assert.match(output(await hakoctl('images check')), /complete \(2\/2\)/);
    assert.deepEqual(await lines(`images check -q name==${image}`), [image]);
  });

  test('short names resolve, and a name that exists as it stands wins', async () => {
    assert.equal(output(await hakoctl(`images tag ${image} short`)), 'docker.io/library/short:latest');
    assert.equal(output(await hakoctl('images tag --skip-reference-check short short')), 'short');
    assert.equal(output(await hakoctl('images rm short')), 'short');
    assert.equal(output(await hakoctl('images rm short')), 'docker.io/library/short:latest');
    refusal(await hakoctl('images rm short'), /image "short": not found in namespace "default"/);
  });

  test('what is not found is named with the namespace that has it, and with the command to type', async () => {
    output(await hakoctl('namespaces create elsewhere made=here'));
    const said = await hakoctl(`-n elsewhere images inspect ${image}`);
    const command = `hakoctl -n default images inspect ${image}`;
    refusal(said, /not found in namespace "elsewhere"; namespace "default" has it/);
    assert.ok(said.stderr.includes(command), said.stderr);
    refusal(
      await hakoctl(`images inspect ${image.replace('busybox', 'bussybox')}`),
      /did you mean ".*\/busybox:latest"/,
    );
    output(await hakoctl('namespaces rm elsewhere'));
    refusal(await hakoctl('namespaces rm elsewhere'), /elsewhere/);
  });

  test('of several arguments all are tried, each failure is said, and the exit code is 1', async () => {
    output(await hakoctl(`images tag ${image} one two`));
    const removed = await hakoctl('images rm one nothing two nobody');
    assert.equal(removed.code, 1);
    assert.deepEqual(removed.stdout.trim().split('\n'), [
      'docker.io/library/one:latest',
      'docker.io/library/two:latest',
    ]);
    assert.match(removed.stderr, /"nothing"[^]*"nobody"/);
  });

  test('commands, flags and sockets that there are not', async () => {
    refusal(await hakoctl('imges ls'), /no command "imges"; did you mean "images"\?/, 3);
    refusal(await hakoctl('images list --quite'), /did you mean --quiet\?/);
    refusal(await hakoctl('-a /nonexistent/x.sock images ls'), /cannot access socket "\/nonexistent\/x.sock"/);
    assert.match(output(await hakoctl('i ls -h')), /hakoctl images list/);
    assert.match(output(await hakoctl('snapshots')), /Commands:/);
  });

  test('content is written, read, labelled and deleted', async () => {
    const text = 'as it is\n';
    const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`;
    refusal(await hakoctl('content ingest --expected-size 3 wrong', { input: text }), /size/);
    output(await hakoctl(`content ingest --expected-digest ${digest} right`, { input: text }));
    assert.equal(output(await hakoctl(`content get ${digest}`)), text.trimEnd());
    assert.equal(
      output(await hakoctl(`content label ${digest} a=b containerd.io/gc.root=kept`)),
      'a=b,containerd.io/gc.root=kept',
    );
    assert.equal(output(await hakoctl(`content label ${digest} a=`)), 'containerd.io/gc.root=kept');
    const edited = output(await call(['content', 'edit', '--editor', 'sed -i s/as/so/', digest]));
    assert.equal(edited, `sha256:${createHash('sha256').update('so it is\n').digest('hex')}`);
    assert.equal(output(await hakoctl(`content rm ${digest}`)), digest);
    refusal(await hakoctl(`content rm ${digest}`), /not found in namespace "default"/);
    refusal(await hakoctl('content get sha256:12'), /invalid checksum digest length/);
  });

  test('an image travels through an archive and keeps its digest', async () => {
    const file = join(dir, 'image.tar');
    output(await hakoctl(`images tag ${image} archived`));
    output(await hakoctl(`images export ${file} archived`));
    const digest = await targetOf('docker.io/library/archived:latest');
    output(await hakoctl('images rm archived'));
    output(await hakoctl(`images import ${file}`));
    assert.equal(await targetOf('docker.io/library/archived:latest'), digest);
    refusal(await hakoctl(`images export ${join(dir, 'none.tar')} nothing`), /image "nothing": not found/);
    refusal(await hakoctl('images import /nonexistent.tar'), /ENOENT/);
    output(await hakoctl('images rm archived'));
  });

  test('an image is converted, and its layers are what they were', async () => {
    const digest = output(await hakoctl(`images convert --uncompress --oci ${image} plain`));
    assert.equal(await targetOf('docker.io/library/plain:latest'), digest);
    const manifest = JSON.parse(output(await hakoctl(`content get ${digest}`))) as { layers: { mediaType: string }[] };
    assert.deepEqual(
      [...new Set(manifest.layers.map(({ mediaType }) => mediaType))],
      ['application/vnd.oci.image.layer.v1.tar'],
    );
    output(await hakoctl('snapshots unpack plain'));
    output(await hakoctl('images rm plain'));
  });

  test('an image is mounted, looked into and unmounted', async () => {
    const target = join(dir, 'rootfs');
    output(await hakoctl(`images mount --rw ${image} ${target}`));
    writeFileSync(join(target, 'new'), 'x');
    const changed = await hakoctl(`snapshots diff --media-type application/vnd.oci.image.layer.v1.tar ${target}`);
    assert.match(output(changed), /^new\0/m);
    output(await hakoctl(`images unmount --rm ${target}`));
    refusal(await hakoctl(`images unmount ${target}`), /nothing is mounted/);
    refusal(await hakoctl(`snapshots info ${target}`), /not found/);
  });

  test('snapshots are prepared, committed, shown and removed', async () => {
    const [base = ''] = (await json<{ Name: string; Kind: string }[]>('snapshots list'))
      .filter(({ Kind }) => Kind === 'Committed')
      .map(({ Name }) => Name);
    assert.match(
      output(await hakoctl(`snapshots prepare -t /mnt work ${base}`)),
      /^mount -t overlay overlay \/mnt -o /,
    );
    assert.match(output(await hakoctl('snapshots tree')), new RegExp(`^ ${base}\n(?:  \\\\_.*\n)*  \\\\_ work`, 'm'));
    output(await hakoctl('snapshots commit done work'));
    const { Kind, Parent } = JSON.parse(output(await hakoctl('snapshots info done'))) as Record<string, string>;
    assert.deepEqual([Kind, Parent], ['Committed', base]);
    assert.match(output(await hakoctl('snapshots usage done')), /^KEY +SIZE +INODES *\ndone/);
    output(await hakoctl('snapshots rm done'));
    refusal(await hakoctl('snapshots rm done'), /snapshot "done": not found in namespace "default"/);
  });

  test('leases are made, listed and removed', async () => {
    assert.equal(output(await hakoctl('leases create --id held -x 1h a=b')), 'held');
    const [lease] = (await json<{ id: string; labels: Record<string, string> }[]>('leases list')).filter(
      ({ id }) => id === 'held',
    );
    assert.equal(lease?.labels['a'], 'b');
    assert.match(lease?.labels['containerd.io/gc.expire'] ?? '', /^20/);
    assert.equal(output(await hakoctl('leases rm --sync held')), 'held');
    refusal(await hakoctl('leases rm held'), /held/);
  });

  test('an archive that is none is refused, and so is an image that no registry has', async () => {
    const file = join(dir, 'odd.tar');
    writeFileSync(file, tar([{ name: 'hello', data: 'x' }]));
    refusal(await hakoctl(`images import ${file}`), /./);
    refusal(await hakoctl(`images pull --plain-http ${image.replace('busybox', 'nothing')}`), /not found/);
  });

  test('events that were kept are read from a cursor on, none twice and none missed', ours, async () => {
    const before = output(await hakoctl('events --cursor'));
    for (const name of ['a', 'b', 'c']) output(await hakoctl(`images tag ${image} ${name}`));
    const read = async (since: string): Promise<{ cursor: string; event: { name: string } }[]> =>
      output(await call(['events', '--since', since, '--json', 'topic=="/images/create"']))
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as { cursor: string; event: { name: string } });
    const first = await read(before);
    assert.deepEqual(
      first.map(({ event }) => event.name),
      ['a', 'b', 'c'].map((name) => `docker.io/library/${name}:latest`),
    );
    assert.deepEqual(
      (await read(first[1]!.cursor)).map(({ event }) => event.name),
      ['docker.io/library/c:latest'],
    );
    output(await hakoctl('images rm a b c'));
  });

  test('events are followed while they come', async () => {
    const follower = harbour.guests.start('hakoctl', ['events']);
    // A subscriber hears what happens from when the daemon knows it: tried until one is heard.
    let round = 0;
    await eventually(async () => {
      output(await hakoctl(`namespaces create heard-${(round += 1)}`));
      assert.match(follower.written(), / heard-\d+ \/namespaces\/create \{"name":"heard-\d+"\}/);
    });
    follower.child.kill();
    await follower.outcome;
    for (; round > 0; round -= 1) output(await hakoctl(`namespaces rm heard-${round}`));
  });

  test('the garbage collector says what it would do, why not, and does it', ours, async () => {
    const file = join(dir, 'garbage.tar');
    output(await hakoctl(`images export ${file} ${image}`));
    assert.match(output(await hakoctl(`gc explain ${image}`)), /: kept\n  image /);
    const digest = await targetOf(image);
    assert.match(output(await hakoctl(`gc explain ${digest}`)), /└─ content sha256:/);
    refusal(await hakoctl('gc explain nothing'), /nothing/);
    // Nobody refers to what was written by hand.
    output(await hakoctl('content ingest garbage', { input: 'garbage\n' }));
    const { items } = await json<{ items: { name: string; type: string }[] }>('gc plan');
    const run = await json<{ items: unknown[] }>('gc run');
    assert.deepEqual(run.items, items);
    assert.match(output(await hakoctl('gc plan')), /^nothing would be removed/);
  });

  test('single objects go to and come from a registry', ours, async () => {
    const digest = await targetOf(image);
    const manifest = output(await hakoctl(`content fetch-object --plain-http ${image}`));
    assert.equal(`sha256:${createHash('sha256').update(manifest).digest('hex')}`, digest);
    const { config } = JSON.parse(manifest) as { config: { digest: string } };
    const blob = output(await hakoctl(`content fetch-blob --plain-http ${image} ${config.digest}`));
    assert.equal(`sha256:${createHash('sha256').update(blob).digest('hex')}`, config.digest);
    const type = 'application/vnd.oci.image.manifest.v1+json';
    const copy = image.replace(/:latest$/, ':copy');
    output(await hakoctl(`content push-object --plain-http ${copy} ${digest} ${type}`));
    assert.equal(output(await hakoctl(`content fetch-object --plain-http ${copy}`)), manifest);
    refusal(await hakoctl(`content fetch-object --plain-http ${image.replace('busybox', 'nothing')}`), /not found/);
  });

  test('a push goes where its name says', async () => {
    const copy = image.replace('busybox:latest', 'copied:1');
    output(await hakoctl(`images push --plain-http ${copy} ${image}`));
    output(await hakoctl(`content fetch --plain-http ${copy}`));
    assert.equal(await targetOf(copy), await targetOf(image));
    output(await hakoctl(`images rm ${copy}`));
  });

  test('a registry with TLS and a login is reached by flags', async () => {
    const { username, password } = testUser;
    await using registry = await startRegistry({ tls: true, auth: 'basic' });
    const { caPath = '', ca = '' } = registry;
    await pushImage(registry.url, 'secret', '1', busyboxImage(), { ca, auth: `${username}:${password}` });
    const name = `${registry.host}/secret:1`;
    const user = `${username}:${password}`;
    refusal(await hakoctl(`images pull ${name}`), /./);
    refusal(await hakoctl(`images pull --tlscacert ${caPath} ${name}`), /./);
    refusal(await hakoctl(`images pull --tlscacert ${caPath} -u ${username}:wrong ${name}`), /./);
    output(await hakoctl(`images pull --tlscacert ${caPath} -u ${user} ${name}`));
    output(await hakoctl(`images rm ${name}`));
    // A password that is not given is asked for.
    output(await hakoctl(`images pull -k --user ${username} ${name}`, { input: `${password}\n` }));
    if (elsewhere === undefined) output(await hakoctl(`content fetch-object -k -u ${user} ${name}`));
    refusal(await hakoctl(`images pull --tlscert ${caPath} ${name}`), /must be set together/);
    output(await hakoctl(`images rm ${name}`));
  });

  test('a daemon that takes connections and says nothing is given up', async () => {
    const { createServer } = await import('node:net');
    const path = join(dir, 'silent.sock');
    const server = createServer(() => {}).listen(path);
    try {
      refusal(await hakoctl(`-a ${path} --connect-timeout 200ms images ls`), /no answer within 200 ms/);
      refusal(await hakoctl(`-a ${path} --timeout 300ms images ls`), /longer than --timeout/);
    } finally {
      server.close();
    }
  });

  test('names are completed from what the daemon has', async () => {
    const found = await lines(`__complete -- -a ${harbour.daemon.address} images rm ${image.slice(0, -3)}`);
    assert.deepEqual(found, [`${image}\timage`]);
  });
});
