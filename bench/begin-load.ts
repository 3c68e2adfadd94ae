/** From the name of a workload to its load under way. */
import { startBigRange } from "./big-range-load.ts";
import { fill, startLoop } from "./closed-loop.ts";
import type { Connection } from "./connection.ts";
import { startKeepAlive } from "./keep-alive-load.ts";
import { type ClientKind, type Lane, openLane, openRaw } from "./lane.ts";
import type { Load } from "./load.ts";
import { questionsOf } from "./questions.ts";
import { startWatch } from "./watch-load.ts";
import type { Shape } from "./workloads.ts";

export interface Order {
  readonly shape: Shape;
  /** host:port; connections go to them in turn. */
  readonly endpoints: readonly string[];
  readonly client: ClientKind;
  readonly valueBytes: number;
  /** Single calls choose from so many keys, which are all put first. */
  readonly callKeys: number;
}

const FILL_CONNECTIONS = 10;

export interface Running {
  readonly load: Load;
  readonly close: () => void;
}

export async function openAll<T>(
  count: number,
  { endpoints }: Order,
  open: (endpoint: string) => Promise<T>,
): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, i) => open(endpoints[i % endpoints.length] as string)));
}

export function closeAll(lanes: readonly Lane[]): void {
  for (const lane of lanes) lane.close();
}

export async function fillFirst(order: Order, keys: number): Promise<void> {
  const lanes = await openAll(FILL_CONNECTIONS, order, openRaw);
  try {
    await fill(lanes, keys, order.valueBytes);
  } finally {
    closeAll(lanes);
  }
}

/** The load is under way when it resolves. */
export async function beginLoad(order: Order): Promise<Running> {
  const { shape, client, valueBytes, callKeys } = order;
  switch (shape.kind) {
    case "calls": {
      const { calls: kind, connections, clientsPerConnection, serializable = false } = shape;
      await fillFirst(order, callKeys);
      const lanes = await openAll(connections, order, (endpoint) => openLane(client, endpoint));
      const ask = questionsOf({ kind, keys: callKeys, valueBytes, serializable }, callKeys);
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
