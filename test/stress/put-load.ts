/** A program: puts at a given rate, each key by one put at a time, so that its n-th put is its n-th revision. */
import { ApiClient } from "../e2e/client.ts";
import { now } from "./clock.ts";
import { type Spread, spreadOf } from "./figures.ts";
import { serve } from "./helper.ts";
import { watchOwnPauses } from "./own-pauses.ts";
import { keysOf, stamp } from "./stamped-value.ts";
import type { KeyEnd } from "./watch-check.ts";

export interface PutOrder {
  readonly endpoints: readonly string[];
  readonly putsPerSecond: number;
  readonly groups: number;
}

export interface PutState {
  readonly acknowledged: number;
  /** By now, at the rate that was asked for. */
  readonly wanted: number;
  /** The latest that was answered. */
  readonly revision: number;
}

export interface PutResult extends PutState {
  readonly seconds: number;
  readonly latencyMs: Spread;
  readonly keys: readonly KeyEnd[];
  readonly failures: readonly string[];
  readonly failureCount: number;
  readonly ownPauseMs: number;
}

/** Looks at its clock so often. */
const TURN_MS = 2;
/** More than that wait for an answer: the cluster is behind, not the clock. */
const MAX_IN_FLIGHT = 512;
const PUT_TIMEOUT_MS = 30_000;

interface Key {
  readonly key: string;
  sent: number;
  acknowledged: number;
}

class PutLoad {
  readonly #order: PutOrder;
  readonly #clients: readonly ApiClient[];
  readonly #keys: readonly Key[];
  readonly #free: Key[];
  readonly #latencies: number[] = [];
  readonly #failures: string[] = [];
  readonly #ownPauseMs = watchOwnPauses();
  readonly #startedAt = now();
  readonly #timer: NodeJS.Timeout;
  #stoppedAt: number | undefined;
  #failureCount = 0;
  #sent = 0;
  #inFlight = 0;
  #revision = 0;
  #onIdle: () => void = () => undefined;

  constructor(order: PutOrder) {
    this.#order = order;
    this.#clients = order.endpoints.map((endpoint) => new ApiClient(endpoint));
    this.#keys = keysOf(order.groups).map((key) => ({ key, sent: 0, acknowledged: 0 }));
    this.#free = [...this.#keys];
    this.#timer = setInterval(() => this.#turn(), TURN_MS);
  }

  #wanted(): number {
    const until = this.#stoppedAt ?? now();
    return Math.floor(((until - this.#startedAt) / 1_000) * this.#order.putsPerSecond);
  }

  #turn(): void {
    const wanted = this.#wanted();
    while (this.#sent < wanted && this.#inFlight < MAX_IN_FLIGHT) {
      const key = this.#free.shift();
      if (key === undefined) return;
      this.#put(key, this.#clients[this.#sent % this.#clients.length] as ApiClient);
    }
  }

  #put(key: Key, client: ApiClient): void {
    this.#sent++;
    this.#inFlight++;
    key.sent++;
    const sentAt = now();
    client
      .put(key.key, stamp(key.sent), {}, PUT_TIMEOUT_MS)
      .then(({ header }) => {
        key.acknowledged = key.sent;
        this.#latencies.push(now() - sentAt);
        this.#revision = Math.max(this.#revision, header?.revision ?? 0);
        this.#free.push(key);
      })
      .catch((error: unknown) => {
        // Nobody knows what became of it: the key rests, so that what its watchers must see stays certain.
        this.#failureCount++;
        if (this.#failures.length < 5) this.#failures.push(`${key.key}: ${error}`);
      })
      .finally(() => {
        this.#inFlight--;
        if (this.#inFlight === 0) this.#onIdle();
      });
  }

  state(): PutState {
    return { acknowledged: this.#latencies.length, wanted: this.#wanted(), revision: this.#revision };
  }

  /** Everything that was sent is answered. */
  async stop(): Promise<PutResult> {
    clearInterval(this.#timer);
    this.#stoppedAt = now();
    if (this.#inFlight > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    for (const client of this.#clients) client.close();
    return {
      ...this.state(),
      seconds: (this.#stoppedAt - this.#startedAt) / 1_000,
      latencyMs: spreadOf(this.#latencies),
      keys: this.#keys,
      failures: this.#failures,
      failureCount: this.#failureCount,
      ownPauseMs: this.#ownPauseMs(),
    };
  }
}

let load: PutLoad | undefined;

function running(): PutLoad {
  if (load === undefined) throw new Error("no load was started");
  return load;
}

const desk = {
  start(order: PutOrder): void {
    load = new PutLoad(order);
  },
  state: (): PutState => running().state(),
  stop: (): Promise<PutResult> => running().stop(),
};
export type PutLoadDesk = typeof desk;

serve(desk);
