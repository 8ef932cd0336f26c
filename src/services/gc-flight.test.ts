import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Call } from '#base/call.ts';
import { codeOf } from '#base/errors.ts';
import { call, container, leased, openBridge, upload, type Bridge } from '../../test/support/bridge.ts';
import { randomNumbers } from '../../test/support/gc-world.ts';

const seed = Number(process.env['HAKO_GC_SEED'] ?? Date.now() % 1_000_000);
const clients = Number(process.env['HAKO_GC_CLIENTS'] ?? 12);
const rounds = Number(process.env['HAKO_GC_ROUNDS'] ?? 12);

/** What a client of containerd's may rely on, tried by one that does as a pull does, and looks after each step. */
class Client {
  readonly #bridge: Bridge;
  readonly #id: number;
  readonly #random: () => number;
  readonly images: string[] = [];
  readonly containers: string[] = [];

  constructor(bridge: Bridge, id: number) {
    this.#bridge = bridge;
    this.#id = id;
    this.#random = randomNumbers(seed + id);
  }

  async round(number: number): Promise<void> {
    const name = `${this.#id}-${number}`;
    const lease = `lease-${name}`;
    const on = leased(lease);
    const { leases, images } = this.#bridge;
    await leases.create(call, lease, this.#chance(0.3) ? { 'containerd.io/gc.flat': 'yes' } : {});
    const tree = await this.#unpack(on, name);
    const layer = await this.#blob(on, `layer ${this.#below(4)}`, {});
    const config = await this.#blob(on, `config ${name}`, { 'containerd.io/gc.ref.snapshot.overlayfs': tree });
    const labels = { 'containerd.io/gc.ref.content.config': config, 'containerd.io/gc.ref.content.l.0': layer };
    const manifest = await this.#blob(on, `manifest ${name}`, labels);
    for (const digest of [layer, config, manifest]) this.#bridge.content.info(call, digest);
    const target = { mediaType: 'application/vnd.oci.image.manifest.v1+json', size: 1, digest: manifest };
    await images.create(on, { name, labels: {}, target });
    this.images.push(name);
    await this.#maybe(0.5, () => this.#run(on, name, tree));
    await leases.delete(call, lease, { sync: this.#chance(0.2) });
    this.check();
    await this.#maybe(0.5, () => this.#forget());
    this.check();
  }

  /** All that its images and containers hold is there. */
  check(): void {
    const { content, snapshots, images } = this.#bridge;
    for (const name of this.images) {
      const { labels } = content.info(call, images.get(call, name).target.digest);
      for (const digest of Object.values(labels)) {
        const tree = content.info(call, digest).labels['containerd.io/gc.ref.snapshot.overlayfs'];
        if (tree !== undefined) this.#chain(tree);
      }
    }
    for (const id of this.containers) snapshots.stat(call, '', `rw ${id}`);
  }

  #chain(tree: string): void {
    const { parent } = this.#bridge.snapshots.stat(call, '', tree);
    if (parent !== '') this.#chain(parent);
  }

  /** Two trees on each other; the lower one is shared with other clients, and may be going right now. */
  async #unpack(on: Call, name: string): Promise<string> {
    const { snapshots } = this.#bridge;
    const base = `base ${this.#below(3)}`;
    const key = `extract ${name}`;
    for (;;) {
      try {
        await snapshots.prepare(on, '', `${key} base`, '', {});
        await snapshots.commit(on, '', base, `${key} base`, {});
      } catch (error) {
        // Somebody has it already; asking for it has put it into our lease.
        if (codeOf(error) !== 'already-exists') throw error;
        await this.#drop(on, `${key} base`);
      }
      try {
        await snapshots.prepare(on, '', key, base, {});
        break;
      } catch (error) {
        if (codeOf(error) !== 'not-found') throw error;
      }
    }
    await snapshots.commit(on, '', `top ${name}`, key, {});
    return `top ${name}`;
  }

  async #drop(on: Call, key: string): Promise<void> {
    try {
      await this.#bridge.snapshots.remove(on, '', key);
    } catch (error) {
      if (codeOf(error) !== 'not-found') throw error;
    }
  }

  async #blob(on: Call, text: string, labels: Record<string, string>): Promise<string> {
    for (;;) {
      try {
        return await upload(this.#bridge, on, text, labels);
      } catch (error) {
        if (codeOf(error) === 'already-exists') return /sha256:[0-9a-f]{64}/.exec(String(error))![0];
        // Another client writes the same one.
        if (codeOf(error) !== 'unavailable') throw error;
        await new Promise(setImmediate);
      }
    }
  }

  async #run(on: Call, name: string, tree: string): Promise<void> {
    await this.#bridge.snapshots.prepare(on, '', `rw ${name}`, tree, {});
    await container(this.#bridge, name, `rw ${name}`);
    this.containers.push(name);
  }

  async #forget(): Promise<void> {
    const { images, containers } = this.#bridge;
    const id = this.containers.shift();
    if (id !== undefined) await containers.delete(call, id);
    const name = this.images.shift();
    if (name !== undefined) await images.delete(call, name, { sync: this.#chance(0.2) });
  }

  async #maybe(of: number, work: () => Promise<void>): Promise<void> {
    if (this.#chance(of)) await work();
  }

  #chance(of: number): boolean {
    return this.#random() < of;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

for (const { title, smallLedgerRows } of [
  { title: 'on the event loop', smallLedgerRows: 1_000_000 },
  { title: 'in the worker', smallLedgerRows: -1 },
]) {
  test(`clients at work lose nothing to a collector that searches ${title} without end, and leave nothing`, async () => {
    await using bridge = await openBridge({ gc: { smallLedgerRows } });
    const all = Array.from({ length: clients }, (_, id) => new Client(bridge, id));
    let working = true;
    const collecting = (async () => {
      while (working) await bridge.gc.run(call.signal);
    })();
    try {
      await Promise.all(
        all.map(async (client) => {
          for (let number = 0; number < rounds; number += 1) await client.round(number);
        }),
      );
    } catch (error) {
      throw new Error(`HAKO_GC_SEED=${seed}`, { cause: error });
    } finally {
      working = false;
      await collecting;
    }
    for (const client of all) {
      client.check();
      for (const id of client.containers) await bridge.containers.delete(call, id);
      for (const name of client.images) await bridge.images.delete(call, name, { sync: false });
    }
    await bridge.idle();
    const { ledger, driver, store } = bridge;
    assert.deepEqual(
      [...ledger.blobs.all(), ...ledger.snapshots.all(), ...ledger.ingests.all(), ...ledger.leases.all()],
      [],
    );
    assert.deepEqual(await Array.fromAsync(driver.list()), []);
    assert.deepEqual(await Array.fromAsync(store.list(call.signal)), []);
  });
}
