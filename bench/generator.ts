/** A program: makes the load that it is asked for. Apart from all servers, so that its CPU is its own. */
import { serve } from "../test/stress/helper.ts";
import { watchOwnPauses } from "../test/stress/own-pauses.ts";
import { beginLoad, closeAll, fillFirst, type Order, openAll, type Running } from "./begin-load.ts";
import { finished, startLoop, told } from "./closed-loop.ts";
import { openRaw } from "./lane.ts";
import { inTime } from "./load.ts";
import type { Faults, Measured } from "./meter.ts";
import { askEach } from "./questions.ts";

export interface Generated extends Measured {
  /** The longest time that this program did not come to look. */
  readonly ownPauseMs: number;
}

const MEMORY_CONNECTIONS = 50;
/** On each of them. */
const MEMORY_CLIENTS = 20;

let running: Running | undefined;
let ownPauseMs = watchOwnPauses();

function current(): Running {
  if (running === undefined) throw new Error("no load was started");
  return running;
}

const desk = {
  /** Only what a workload of single calls finds there. */
  fillKeys: (order: Order): Promise<void> => fillFirst(order, order.callKeys),
  /** Resolves with the first answer. */
  async start(order: Order): Promise<void> {
    if (running !== undefined) throw new Error("a load is under way");
    running = await beginLoad(order);
    const { meter } = running.load;
    if (!(await inTime(() => meter.latency.count + meter.faultCount > 0))) throw new Error("nothing is answered");
  },
  begin(): void {
    ownPauseMs = watchOwnPauses();
    current().load.meter.begin();
  },
  end: (): Generated => ({ ...current().load.meter.end(), ownPauseMs: ownPauseMs() }),
  /** Faults of all the load's life. */
  async stop(): Promise<Faults> {
    const { load, close } = current();
    running = undefined;
    await load.stop();
    close();
    return load.meter.faults();
  },
  /** Puts every key once. */
  async fill(order: Order): Promise<Generated> {
    const { shape, valueBytes } = order;
    if (shape.kind !== "memory") throw new Error(`${shape.kind} is loaded, not filled`);
    const { keys } = shape;
    const lanes = await openAll(MEMORY_CONNECTIONS, order, openRaw);
    try {
      ownPauseMs = watchOwnPauses();
      const filling = startLoop({ lanes, clientsPerLane: MEMORY_CLIENTS, ask: askEach(valueBytes), total: keys });
      await finished(filling);
      const measured = { ...filling.meter.end(), ownPauseMs: ownPauseMs() };
      await filling.stop();
      if (filling.answered() < keys) throw new Error(`${filling.answered()} of ${keys} keys: ${told(filling.meter)}`);
      return measured;
    } finally {
      closeAll(lanes);
    }
  },
};
export type GeneratorDesk = typeof desk;

serve(desk);
