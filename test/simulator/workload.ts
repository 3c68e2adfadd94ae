import { PutRequest, RangeRequest } from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import type { Rpc } from "../../src/rpc/rpc.ts";
import type { Cluster } from "./cluster.ts";
import type { History, Request, Response } from "./history.ts";
import type { Random } from "./random.ts";
import type { ClientPort } from "./sim-rpc.ts";
import type { Plan } from "./swarm.ts";
import { outcomeOfError, putRequestOf, putResponseOf, rangeRequestOf, rangeResponseOf } from "./wire.ts";
import type { Owner, World } from "./world.ts";

export interface WorkloadDeps {
  readonly world: World;
  readonly port: ClientPort;
  readonly history: History;
  readonly random: Random;
  readonly cluster: Cluster;
  readonly report: (checker: string, message: string) => void;
}

export class Workload {
  readonly #plan: Plan;
  readonly #deps: WorkloadDeps;
  constructor(plan: Plan, deps: WorkloadDeps) {
    this.#plan = plan;
    this.#deps = deps;
  }

  start(): void {
    for (let number = 1; number <= this.#plan.workload.clients; number++) void this.#client(number);
  }

  async #client(number: number): Promise<void> {
    const { world, random: all } = this.#deps;
    const random = all.split(`client ${number}`);
    const owner: Owner = { name: `c${number}`, dead: false, heldUntil: 0 };
    let count = 0;
    for (;;) {
      await world.delay(owner, -Math.log(1 - random.fraction()) * this.#plan.workload.thinkMs, "think");
      const member = random.between(1, this.#plan.members);
      const key = `k${random.below(this.#plan.workload.keys)}`;
      if (random.chance(0.5)) {
        const request = PutRequest.create({ key, value: Buffer.from(`${number}.${++count}`) });
        await this.#call(owner, number, member, rpcs.KVPut, request, putRequestOf(request), putResponseOf);
      } else {
        const request = RangeRequest.create({ key });
        await this.#call(owner, number, member, rpcs.KVRange, request, rangeRequestOf(request), rangeResponseOf);
      }
    }
  }

  async #call<Q, A>(
    owner: Owner,
    client: number,
    member: number,
    rpc: Rpc<Q, A>,
    request: Q,
    recorded: Request,
    read: (response: A) => Response,
  ): Promise<void> {
    const { history, port } = this.#deps;
    const operation = history.invoke(client, member, recorded);
    const result = await port.call(owner, member, rpc, request, { timeoutMs: 8_000 });
    history.settle(
      operation,
      result.kind === "ok"
        ? { kind: "ok", response: read(result.response) }
        : outcomeOfError(result.code, result.message),
    );
  }
}
