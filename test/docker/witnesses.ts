import { decode } from "../../proto/codec.ts";
import { WatchCreateRequest } from "../../proto/generated/etcdserverpb.ts";
import * as mvccpb from "../../proto/generated/mvccpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { type ApiClient, latin1, type ServiceError } from "../e2e/client.ts";
import type { Acknowledged, Load } from "../e2e/load.ts";

/*
 * Clients that live through what is done to the cluster and remember what they saw. Each runs until `stop`, bears every
 * lost connection, and fails the test only by what it remembers.
 */

const TIMEOUT_MS = 5_000;
const NOT_FOUND = 5;

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

export interface SeenEvent {
  readonly type: "put" | "delete";
  readonly key: string;
  readonly revision: number;
}

/** Watches all keys below a prefix through one member; when the stream breaks, goes on after the last revision seen. */
export class Watcher {
  readonly events: SeenEvent[] = [];
  readonly violations: string[] = [];
  resumed = 0;
  #next: number;
  #stopping = false;
  #cancel: () => void = () => undefined;
  readonly #done: Promise<void>;

  constructor(client: ApiClient, prefix: string, fromRevision: number) {
    this.#next = fromRevision;
    this.#done = this.#run(client, latin1(prefix));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#cancel();
    await this.#done;
  }

  async #run(client: ApiClient, prefix: string): Promise<void> {
    for (; !this.#stopping; this.resumed++) {
      await this.#follow(client, prefix);
      await pause(50);
    }
  }

  #follow(client: ApiClient, key: string): Promise<void> {
    return new Promise((resolve) => {
      const stream = client.bidi(rpcs.WatchWatch);
      this.#cancel = () => stream.cancel();
      stream.on("error", () => undefined);
      stream.on("status", () => resolve());
      stream.on("data", (response) => {
        if (response.canceled) this.violations.push(`cancelled: ${response.cancelReason}`);
        for (const event of response.events) this.#see(decode(mvccpb.Event, event));
      });
      const rangeEnd = key.slice(0, -1) + String.fromCharCode(key.charCodeAt(key.length - 1) + 1);
      const create = WatchCreateRequest.create({ key, rangeEnd, startRevision: this.#next });
      stream.write({ requestUnion: { kind: "createRequest", value: create } });
    });
  }

  #see(event: mvccpb.Event): void {
    const kv = decode(mvccpb.KeyValue, event.kv);
    if (kv.modRevision < this.#next) this.violations.push(`${kv.key} at ${kv.modRevision} after ${this.#next - 1}`);
    this.#next = kv.modRevision + 1;
    this.events.push({ type: event.type === 0 ? "put" : "delete", key: kv.key, revision: kv.modRevision });
  }
}

/** Keeps a lease alive through all members in turn. */
export class LeaseKeeper {
  readonly id: bigint;
  renewals = 0;
  /** The server said that there is no such lease. */
  lost = false;
  #stopping = false;
  readonly #done: Promise<void>;

  constructor(clients: readonly ApiClient[], id: bigint) {
    this.id = id;
    this.#done = this.#run(clients);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done;
  }

  async #run(clients: readonly ApiClient[]): Promise<void> {
    for (let turn = 0; !this.#stopping; turn++) {
      const ttl = await renewOnce(clients[turn % clients.length] as ApiClient, this.id);
      if (ttl !== undefined && ttl > 0) this.renewals++;
      if (ttl === 0) this.lost = true;
      await pause(300);
    }
  }
}

/** The lease's new time-to-live in seconds, 0 when there is no such lease, undefined when nobody answered. */
function renewOnce(client: ApiClient, ID: bigint): Promise<number | undefined> {
  return new Promise((resolve) => {
    const stream = client.bidi(rpcs.LeaseLeaseKeepAlive);
    const timer = setTimeout(() => stream.cancel(), TIMEOUT_MS);
    stream.on("error", () => undefined);
    stream.on("data", ({ TTL }) => {
      resolve(TTL);
      stream.cancel();
    });
    stream.on("status", () => {
      clearTimeout(timer);
      resolve(undefined);
    });
    stream.write({ ID });
  });
}

/** Reads acknowledged keys through members other than those that wrote them: a linearizable read must find them. */
export class Reader {
  reads = 0;
  readonly violations: string[] = [];
  #stopping = false;
  readonly #done: Promise<void>;

  constructor(clients: readonly ApiClient[], load: Load) {
    this.#done = Promise.all(clients.map((client) => this.#run(client, load))).then(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done;
  }

  async #run(client: ApiClient, load: Load): Promise<void> {
    while (!this.#stopping) {
      const newest = load.acknowledged.at(-1);
      if (newest !== undefined) await this.#read(client, newest);
      await pause(20);
    }
  }

  async #read(client: ApiClient, { key, revision }: Acknowledged): Promise<void> {
    try {
      const { kvs } = await client.range({ key: latin1(key) }, TIMEOUT_MS);
      const [found] = kvs.map((bytes) => decode(mvccpb.KeyValue, bytes));
      if (found?.modRevision !== revision) this.violations.push(`${key}: ${found?.modRevision}, not ${revision}`);
      this.reads++;
    } catch {
      // The member was just taken away: no answer is no stale answer.
    }
  }
}

/** Sends writes that a member has to refuse (a lease that does not exist); none of them may ever be in the store. */
export class RefusedWriter {
  readonly refused: string[] = [];
  readonly violations: string[] = [];
  #stopping = false;
  readonly #done: Promise<void>;

  constructor(clients: readonly ApiClient[], prefix: string) {
    this.#done = Promise.all(clients.map((client, place) => this.#run(client, `${prefix}/${place}`))).then(
      () => undefined,
    );
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done;
  }

  async #run(client: ApiClient, prefix: string): Promise<void> {
    for (let n = 0; !this.#stopping; n++) {
      const key = `${prefix}/${n}`;
      try {
        await client.put(key, "never", { lease: 0x7eadn }, TIMEOUT_MS);
        this.violations.push(`${key} was accepted`);
      } catch (error) {
        if ((error as ServiceError).code === NOT_FOUND) this.refused.push(key);
      }
      await pause(20);
    }
  }
}
