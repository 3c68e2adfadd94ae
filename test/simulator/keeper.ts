import { rpcs } from "../../proto/generated/services.ts";
import type { Operation } from "./history.ts";
import type { Knowledge } from "./requests.ts";
import type { ClientStream } from "./sim-rpc.ts";
import { keepAliveOutcomeOf, outcomeOfError } from "./wire.ts";
import type { Client, WorkloadDeps } from "./workload.ts";

/** For each second of the longest time-to-live. */
const PERIOD_MS = 35;
const LEASES = 3;
/** On one stream, before it is closed and another opened. */
const ROUNDS = 12;
/** A lease is let go in one round of so many: what was said of it last has to hold. */
const LET_GO_ONE_IN = 25;

/** Keeps a few leases alive, on one stream to one member at a time, as a client library does. */
export class Keeper {
  readonly #client: Client;
  readonly #knowledge: Knowledge;
  readonly #deps: WorkloadDeps;
  readonly #isStopping: () => boolean;
  readonly #periodMs: number;
  #kept: bigint[] = [];
  /** Let go, or said to be gone. */
  readonly #past = new Set<bigint>();

  constructor(
    client: Client,
    knowledge: Knowledge,
    deps: WorkloadDeps,
    leaseSeconds: number,
    isStopping: () => boolean,
  ) {
    this.#client = client;
    this.#knowledge = knowledge;
    this.#deps = deps;
    this.#periodMs = leaseSeconds * PERIOD_MS;
    this.#isStopping = isStopping;
  }

  start(): void {
    this.#deps.world.schedule(this.#client.owner, this.#periodMs, "keeper", () => void this.#run());
  }

  async #run(): Promise<void> {
    const { world, members } = this.#deps;
    while (!this.#isStopping()) {
      await this.#keep(this.#client.random.pick(members()));
      await world.delay(this.#client.owner, this.#periodMs / 4, "keeper");
    }
  }

  /** One stream, until it ends. Answers come in the order of the requests (L-4). */
  async #keep(member: number): Promise<void> {
    const { world, port, history } = this.#deps;
    const { owner, number, random } = this.#client;
    const open: Operation[] = [];
    let isOver = false;
    const stream: ClientStream<{ readonly ID: bigint }> = port.stream(
      owner,
      member,
      rpcs.LeaseLeaseKeepAlive,
      (answer) => {
        const { ID, TTL } = answer;
        const operation = open.shift();
        if (operation === undefined) {
          this.#deps.report("keep-alive", `an answer for lease ${ID} that nobody asked for`);
          return;
        }
        if (TTL <= 0) this.#letGo(ID);
        history.settle(operation, keepAliveOutcomeOf(answer));
      },
      (code, message) => {
        isOver = true;
        for (const operation of open.splice(0)) history.settle(operation, outcomeOfError(code, message));
      },
    );
    // Often enough, as clients do; or about as often as leases run out, so that renewals and revokes meet.
    const periodMs = this.#periodMs * (random.chance(0.7) ? 1 : random.real(1, 8));
    // Some wait for a member that says nothing for longer than others.
    const patience = random.pick([3, 10]) * LEASES;
    for (let round = 0; round < ROUNDS && !isOver && !this.#isStopping(); round++) {
      if (open.length > patience) break;
      for (const ID of this.#chosen()) {
        open.push(history.invoke(number, member, { kind: "leaseKeepAlive", id: ID }));
        stream.send({ ID });
      }
      await world.delay(owner, periodMs * random.real(0.9, 1.1), "keeper");
    }
    stream.close();
  }

  /** The same as in the last round, but for those that are let go; the newest come in their place. */
  #chosen(): readonly bigint[] {
    for (const id of this.#kept) if (this.#client.random.chance(1 / LET_GO_ONE_IN)) this.#letGo(id);
    for (const id of [...this.#knowledge.leases].reverse()) {
      if (this.#kept.length >= LEASES) break;
      if (!this.#past.has(id) && !this.#kept.includes(id)) this.#kept.push(id);
    }
    return this.#kept;
  }

  #letGo(id: bigint): void {
    this.#past.add(id);
    this.#kept = this.#kept.filter((kept) => kept !== id);
  }
}
