/** A program: makes the load that it is asked for. Apart from all servers, so that its CPU is its own. */

import { serve } from "../test/stress/helper.ts";
import { watchOwnPauses } from "../test/stress/own-pauses.ts";
import { startBigRange } from "./big-range-load.ts";
import { fill, type Loop, startLoop, told } from "./closed-loop.ts";
import type { Connection } from "./connection.ts";
import { startKeepAlive } from "./keep-alive-load.ts";
import { type ClientKind, type Lane, openLane, openRaw } from "./lane.ts";
import type { Load } from "./load.ts";
import type { Faults, Measured } from "./meter.ts";
import { askEach, questionsOf } from "./questions.ts";
import { startWatch } from "./watch-load.ts";
import { CALL_KEYS, type Shape } from "./workloads.ts";

export interface Order {
  readonly shape: Shape;
  /** host:port; connections go to them in turn. */
  readonly endpoints: readonly string[];
  readonly client: ClientKind;
  readonly valueBytes: number;
}

export interface Generated extends Measured {
  /** The longest time that this program did not come to look. */
  readonly ownPauseMs: number;
}

const FILL_CONNECTIONS = 10;
const MEMORY_CONNECTIONS = 50;
/** On each of them. */
const MEMORY_CLIENTS = 20;

interface Running {
  readonly load: Load;
  readonly close: () => void;
}

let running: Running | undefined;
let filling: Loop | undefined;
let ownPauseMs = watchOwnPauses();

async function openAll<T>(count: number, { endpoints }: Order, open: (endpoint: string) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, i) => open(endpoints[i % endpoints.length] as string)));
}

function closeAll(lanes: readonly Lane[]): void {
  for (const lane of lanes) lane.close();
}

async function fillFirst(order: Order, keys: number): Promise<void> {
  const lanes = await openAll(FILL_CONNECTIONS, order, openRaw);
  try {
    await fill(lanes, keys, order.valueBytes);
  } finally {
    closeAll(lanes);
  }
}

/** The load is under way when it resolves. */
async function begun(order: Order): Promise<Running> {
  const { shape, client, valueBytes } = order;
  switch (shape.kind) {
    case "calls": {
      const { calls: kind, connections, clientsPerConnection, serializable = false } = shape;
      await fillFirst(order, CALL_KEYS);
      const lanes = await openAll(connections, order, (endpoint) => openLane(client, endpoint));
      const ask = questionsOf({ kind, keys: CALL_KEYS, valueBytes, serializable }, CALL_KEYS);
      return { load: startLoop({ lanes, clientsPerLane: clientsPerConnection, ask }), close: () => closeAll(lanes) };
    }
    case "watch": {
      const all = await openAll(shape.connections + 1, order, openRaw);
      const [putter, ...connections] = all as [Connection, ...Connection[]];
      const { watchers, putsAtATime } = shape;
      const load = await startWatch({ connections, putter, watchers, putsAtATime, valueBytes });
      return { load, close: () => closeAll(all) };
    }
    case "keep-alive": {
      const connections = await openAll(shape.connections, order, openRaw);
      const load = await startKeepAlive(connections, shape.streamsPerConnection);
      return { load, close: () => closeAll(connections) };
    }
    case "big-range": {
      await fillFirst(order, shape.keys);
      const [big, other] = (await openAll(2, order, openRaw)) as [Connection, Connection];
      return { load: startBigRange(big, other, shape.keys, valueBytes), close: () => closeAll([big, other]) };
    }
    case "memory":
      throw new Error("memory is filled, not loaded");
  }
}

function current(): Running {
  if (running === undefined) throw new Error("no load was started");
  return running;
}

const desk = {
  /** Only what a workload of single calls finds there. */
  fillKeys: (order: Order): Promise<void> => fillFirst(order, CALL_KEYS),
  async start(order: Order): Promise<void> {
    if (running !== undefined) throw new Error("a load is under way");
    running = await begun(order);
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
      filling = startLoop({ lanes, clientsPerLane: MEMORY_CLIENTS, ask: askEach(valueBytes), total: keys });
      await filling.done;
      const measured = { ...filling.meter.end(), ownPauseMs: ownPauseMs() };
      await filling.stop();
      if (filling.answered() < keys) throw new Error(`${filling.answered()} of ${keys} keys: ${told(filling.meter)}`);
      return measured;
    } finally {
      closeAll(lanes);
      filling = undefined;
    }
  },
  filled: (): number => filling?.answered() ?? 0,
};
export type GeneratorDesk = typeof desk;

serve(desk);
