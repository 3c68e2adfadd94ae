import { encode } from "../../proto/codec.ts";
import * as raftpb from "../../proto/generated/raftpb.ts";
import type { Message, NodeId } from "../../raft/types.ts";
import type { Env } from "../../src/env.ts";
import { decodeMessage, isForwarded, toWire } from "../../src/peer/message-codec.ts";
import {
  type OutgoingSnapshot,
  type PeerCallbacks,
  PeerCallError,
  type PeerHttpAnswer,
  type PeerIdentity,
  type PeerRequest,
  type PeerResponse,
  type PeerTransport,
} from "../../src/peer/transport.ts";
import type { FaultCounts } from "./fault-counts.ts";
import type { Random } from "./random.ts";
import { Transfer } from "./sim-transfer.ts";
import { hashBytes } from "./trace.ts";
import type { Owner, World } from "./world.ts";

/** What happens to messages at the moment; faults.ts changes it. Probabilities are for one message. */
export interface LinkWeather {
  meanMs: number;
  drop: number;
  duplicate: number;
  /** A message that may overtake and be overtaken. */
  reorder: number;
  /** A message that comes as much as `delayMs` later. */
  delay: number;
  delayMs: number;
  /** How often a sender hears that a message of its was lost. */
  tellsLoss: number;
}

export const FAIR_WEATHER: LinkWeather = {
  meanMs: 0.5,
  drop: 0,
  duplicate: 0,
  reorder: 0,
  delay: 0,
  delayMs: 0,
  tellsLoss: 1,
};

/** One life that takes part in the network. */
interface Station {
  readonly host: number;
  readonly owner: Owner;
  readonly env: Env;
  readonly identity: PeerIdentity;
  readonly callbacks: PeerCallbacks;
  readonly lost: Set<NodeId>;
  /** When the last message of an ordered lane arrives: appends and others to a host go in two. */
  readonly lanes: Map<number, number>;
  readonly activeSince: Map<number, number>;
  peers: ReadonlyMap<NodeId, readonly string[]>;
  /** Senders that are no members as far as this one knows: they get answers. */
  readonly met: Map<NodeId, number>;
  toldRemoved: boolean;
  takesSnapshot: boolean;
  isClosed: boolean;
}

/** A message on a link that holds back. */
interface Held {
  readonly sender: Station;
  readonly receiver: Station;
  readonly id: NodeId;
  readonly bytes: Uint8Array;
  readonly lane: number;
}

export interface NetworkDeps {
  readonly world: World;
  readonly random: Random;
  readonly counts: FaultCounts;
  /** Sees every message as it leaves its member. */
  readonly onSend: (host: number, message: Message) => void;
  /** Sees every message that its receiver has just taken. */
  readonly onTaken: (host: number, message: Message) => void;
  /** A snapshot begins to arrive. */
  readonly onReceives: (host: number) => void;
}

/** Milliseconds that a message is late for each one that the lag lasts. */
const LAG_GROWTH = 0.6;
const NOTICE_MS = 2;
const CONNECT_MS = 1;
/** Who sends a snapshot and lost its power is waited for so long. */
const SILENT_MS = 5_000;
/** A member that is gone is noticed by those who are connected to it. */
const GONE_MS = 3;

/** Everything between the machines: who can reach whom, and what becomes of what is on its way. */
export class Network {
  readonly weather: LinkWeather = { ...FAIR_WEATHER };
  #lastSpike = 0;
  readonly #deps: NetworkDeps;
  /** By number of the host; a host has one life at most. */
  readonly #stations = new Map<number, Station>();
  /** How many faults cut a direction; and how many of them hold back what others would lose. */
  readonly #cuts = new Map<number, number>();
  readonly #holds = new Map<number, number>();
  /** What is held back, by direction, in the order in which it was sent. */
  readonly #held = new Map<number, Held[]>();
  /** Directions whose messages come later and later, up to a bound; since when. */
  readonly #lags = new Map<number, { readonly since: number; readonly maxMs: number }>();
  readonly #transfers = new Set<{ readonly from: Station; readonly to: Station; readonly transfer: Transfer }>();
  /** Called whenever lives or cuts change. */
  onChange: () => void = () => undefined;

  constructor(deps: NetworkDeps) {
    this.#deps = deps;
  }

  /** `holds`: messages are not lost; they arrive when the link is mended, as those of a connection that did not break. */
  cut(from: number, to: number, holds = false): void {
    const key = direction(from, to);
    count(this.#cuts, key, 1);
    if (holds) count(this.#holds, key, 1);
    this.#changed();
  }

  mend(from: number, to: number, holds = false): void {
    const key = direction(from, to);
    count(this.#cuts, key, -1);
    if (holds) count(this.#holds, key, -1);
    this.#changed();
    if (this.isCut(from, to)) return;
    const held = this.#held.get(key) ?? [];
    this.#held.delete(key);
    for (const { sender, receiver, id, bytes, lane } of held) {
      // Connections end with the processes that have them.
      if (sender.isClosed || receiver.isClosed) continue;
      this.#deliver(sender, to, id, bytes, lane, this.#inOrder(sender, lane, this.transit(from, to) ?? 0));
    }
  }

  /** A queue builds up on the way: nothing is lost, no gap shows, and what arrives is older and older. */
  lag(from: number, to: number, maxMs: number): void {
    this.#lags.set(direction(from, to), { since: this.#deps.world.now, maxMs });
    this.onChange();
  }

  /** What is on its way still comes late, and all that follows behind it. */
  unlag(from: number, to: number): void {
    const { world } = this.#deps;
    const key = direction(from, to);
    const leftMs = this.#lagOf(from, to) + 2 * this.weather.meanMs;
    const over = { since: world.now, maxMs: 0 };
    this.#lags.set(key, over);
    world.schedule(undefined, leftMs, "lag is over", () => {
      if (this.#lags.get(key) !== over) return;
      this.#lags.delete(key);
      this.onChange();
    });
  }

  get isLagging(): boolean {
    return this.#lags.size > 0;
  }

  #lagOf(from: number, to: number): number {
    const lag = this.#lags.size === 0 ? undefined : this.#lags.get(direction(from, to));
    return lag === undefined ? 0 : Math.min(lag.maxMs, LAG_GROWTH * (this.#deps.world.now - lag.since));
  }

  isCut(from: number, to: number): boolean {
    return this.#cuts.size > 0 && this.#cuts.has(direction(from, to));
  }

  /** False when the message is lost in the cut. */
  #hold(message: Held): boolean {
    const key = direction(message.sender.host, message.receiver.host);
    if (!this.#holds.has(key) || this.#holds.get(key) !== this.#cuts.get(key)) return false;
    this.#deps.counts.add("message held back");
    const held = this.#held.get(key) ?? [];
    this.#held.set(key, held);
    held.push(message);
    return true;
  }

  isConnected(a: number, b: number): boolean {
    return !this.isCut(a, b) && !this.isCut(b, a);
  }

  open(host: number, owner: Owner, env: Env, identity: PeerIdentity, callbacks: PeerCallbacks): PeerTransport {
    const station: Station = {
      host,
      owner,
      env,
      identity,
      callbacks,
      lost: new Set(),
      lanes: new Map(),
      activeSince: new Map(),
      peers: new Map(),
      met: new Map(),
      toldRemoved: false,
      takesSnapshot: false,
      isClosed: false,
    };
    this.#stations.set(host, station);
    this.#changed();
    return {
      send: (messages) => {
        for (const message of messages) this.#send(station, message);
      },
      sendSnapshot: (id, snapshot, signal) => this.#sendSnapshot(station, id, snapshot, signal),
      setPeers: (peers) => {
        if (station.isClosed) return;
        station.peers = new Map(
          peers.filter(({ id }) => id !== identity.memberId).map(({ id, urls }) => [id, [...urls]]),
        );
        for (const id of station.peers.keys()) station.met.delete(id);
        this.#changed();
        this.#turnAway();
      },
      activeSince: (id) => {
        const to = this.#hostOf(station, id);
        return to === undefined ? undefined : station.activeSince.get(to);
      },
      roundTripMs: () => 2 * this.weather.meanMs,
      traffic: () => undefined,
      request: (id, request) => this.#request(station, id, request),
      addresses: [],
      close: async () => {
        this.#close(station, true);
      },
    };
  }

  /** The life has ended; `isNoticed`: its operating system closes its connections and refuses new ones. */
  leave(host: number, isNoticed: boolean): void {
    const station = this.#stations.get(host);
    if (station !== undefined) this.#close(station, isNoticed);
  }

  /** GET from whoever listens at the URL. */
  ask(from: number, owner: Owner, url: string, path: string, timeoutMs: number): Promise<PeerResponse> {
    const { host } = parseUrl(url);
    return this.#call(from, owner, host, { method: "GET", path, timeoutMs });
  }

  /** A member asks the leader to hand over to it. */
  askForTransfer(from: number, leader: number): void {
    const station = this.#stations.get(from);
    const to = this.#stations.get(leader);
    if (station === undefined || to === undefined) return;
    const { memberId } = station.identity;
    this.#send(station, { type: "MsgTransferLeader", from: memberId, to: to.identity.memberId, term: 0 });
  }

  /** Whether a message is still to come that was delayed by more than the weather of now. */
  get awaitsDelayed(): boolean {
    return this.#lastSpike > this.#deps.world.now;
  }

  /** How long a message takes from one machine to another now; undefined: it never arrives. */
  transit(from: number, to: number): number | undefined {
    const { random } = this.#deps;
    const { meanMs, delay, delayMs } = this.weather;
    if (this.isCut(from, to)) return undefined;
    const spike = delay > 0 && random.chance(delay) ? random.real(0, delayMs) : 0;
    this.#lastSpike = Math.max(this.#lastSpike, this.#deps.world.now + spike);
    return meanMs * (0.5 + random.fraction()) + spike + this.#lagOf(from, to);
  }

  #send(station: Station, message: Message): void {
    const { world, counts, random } = this.#deps;
    if (station.isClosed || station.owner.dead) return;
    if (message.type === "MsgSnap") throw new Error("a snapshot among messages");
    const to = this.#hostOf(station, message.to);
    if (to === undefined) return;
    this.#deps.onSend(station.host, message);
    if (world.trace.onLine !== undefined)
      world.trace.say(world.now, station.owner.name, "sends", describe(message, to));
    const bytes = encode(raftpb.Message, toWire(message));
    const { drop, duplicate, reorder } = this.weather;
    if (drop > 0 && random.chance(drop)) {
      counts.add("message dropped");
      this.#lose(station, message.to);
      return;
    }
    const lane = 2 * to + (message.type === "MsgApp" ? 1 : 0);
    const transit = this.transit(station.host, to);
    if (transit === undefined) {
      const receiver = this.#stations.get(to);
      if (receiver !== undefined && this.#hold({ sender: station, receiver, id: message.to, bytes, lane })) return;
      counts.add("message into a cut");
      this.#lose(station, message.to);
      return;
    }
    const isFree = reorder > 0 && random.chance(reorder);
    if (isFree) counts.add("message reordered");
    const delayMs = isFree ? transit : this.#inOrder(station, lane, transit);
    this.#deliver(station, to, message.to, bytes, lane, delayMs);
    // A proposal that comes twice is two: no transport repeats one by itself, and its proposer gives it away once (G-7).
    if (duplicate > 0 && message.type !== "MsgProp" && random.chance(duplicate)) {
      counts.add("message duplicated");
      const later = delayMs + random.real(0, 10 * this.weather.meanMs);
      this.#deliver(station, to, message.to, Buffer.from(bytes), lane, later);
    }
  }

  /** Nothing overtakes what went before it in its lane. */
  #inOrder(station: Station, lane: number, transit: number): number {
    const { now } = this.#deps.world;
    const arrival = Math.max(now + transit, station.lanes.get(lane) ?? 0);
    station.lanes.set(lane, arrival);
    return arrival - now;
  }

  /** `bytes` become the receiver's: what it keeps of them or writes into them is no other member's. */
  #deliver(from: Station, to: number, id: NodeId, bytes: Uint8Array, lane: number, delayMs: number): void {
    const receiver = this.#stations.get(to);
    // Where nobody is, the sender's connection is refused.
    if (receiver === undefined || receiver.isClosed || receiver.identity.memberId !== id) {
      this.#lose(from, id);
      return;
    }
    this.#deps.world.schedule(
      receiver.owner,
      delayMs,
      "message",
      () => {
        if (!this.isCut(from.host, to)) this.#receive(receiver, from, bytes);
        else if (!this.#hold({ sender: from, receiver, id, bytes, lane })) {
          this.#deps.counts.add("message into a cut");
          this.#lose(from, id);
        }
      },
      hashBytes(bytes),
    );
  }

  #receive(station: Station, from: Station, bytes: Uint8Array): void {
    if (station.isClosed) return;
    const sender = from.identity.memberId;
    if (station.callbacks.isRemoved(sender)) {
      this.#tellRemoved(from);
      return;
    }
    const message = decodeMessage(bytes);
    if (!station.peers.has(sender)) {
      if (isForwarded(message)) return;
      station.met.set(sender, from.host);
    }
    station.callbacks.onMessage(message);
    this.#deps.onTaken(station.host, message);
  }

  async #sendSnapshot(
    station: Station,
    id: NodeId,
    { message, file }: OutgoingSnapshot,
    signal: AbortSignal,
  ): Promise<void> {
    const { world, counts } = this.#deps;
    const to = this.#hostOf(station, id);
    const receiver = to === undefined ? undefined : this.#stations.get(to);
    if (receiver === undefined || receiver.isClosed || receiver.identity.memberId !== id) {
      throw new PeerCallError("connection refused", false);
    }
    if (receiver.takesSnapshot) throw new PeerCallError("another snapshot is being received", true);
    const bytes = encode(raftpb.Message, toWire(message));
    const take = async (chunks: AsyncIterable<Buffer>): Promise<void> => {
      const sender = station.identity.memberId;
      if (receiver.callbacks.isRemoved(sender)) {
        this.#tellRemoved(station);
        throw new Error("the sender was removed");
      }
      const decoded = decodeMessage(bytes);
      if (decoded.type !== "MsgSnap") throw new Error("no snapshot");
      if (!receiver.peers.has(sender)) receiver.met.set(sender, station.host);
      this.#deps.onReceives(receiver.host);
      await receiver.callbacks.onSnapshot(decoded, chunks);
    };
    const transfer = new Transfer({
      world,
      sender: station.owner,
      receiver: receiver.owner,
      there: () => this.#connected(station.host, receiver.host),
      back: () => this.#connected(receiver.host, station.host),
      isOpen: () => !receiver.isClosed && !station.isClosed,
      file,
      signal,
      take,
    });
    receiver.takesSnapshot = true;
    const underWay = { from: station, to: receiver, transfer };
    this.#transfers.add(underWay);
    try {
      await transfer.run();
      counts.add("snapshot taken");
    } catch (error) {
      counts.add("snapshot failed");
      throw error;
    } finally {
      this.#transfers.delete(underWay);
      receiver.takesSnapshot = false;
    }
  }

  /** As transit; a connection makes up for what is dropped, or breaks. */
  #connected(from: number, to: number): number | undefined {
    if (this.#deps.random.chance(this.weather.drop / 4)) return undefined;
    return this.transit(from, to);
  }

  #tellRemoved(station: Station): void {
    if (station.toldRemoved || station.isClosed) return;
    station.toldRemoved = true;
    this.#deps.world.schedule(station.owner, NOTICE_MS, "removed", () => {
      if (!station.isClosed) station.callbacks.onRemoved();
    });
  }

  /** Whoever is no member any more dials again when its connections are closed, and is told why (410 Gone). */
  #turnAway(): void {
    for (const station of this.#stations.values()) {
      if (station.toldRemoved) continue;
      for (const [url] of station.peers.values()) {
        const other = url === undefined ? undefined : this.#stations.get(parseUrl(url).host);
        if (other === undefined || !this.isConnected(station.host, other.host)) continue;
        if (other.callbacks.isRemoved(station.identity.memberId)) this.#tellRemoved(station);
      }
    }
  }

  /** At most once a turn and not from within `send`. */
  #lose(station: Station, id: NodeId): void {
    const { random, world } = this.#deps;
    if (station.isClosed || station.lost.has(id) || !random.chance(this.weather.tellsLoss)) return;
    station.lost.add(id);
    world.schedule(station.owner, NOTICE_MS, "unreachable", () => {
      station.lost.delete(id);
      if (!station.isClosed && station.peers.has(id)) station.callbacks.onUnreachable(id);
    });
  }

  #close(station: Station, isNoticed: boolean): void {
    if (station.isClosed) return;
    station.isClosed = true;
    if (this.#stations.get(station.host) === station) this.#stations.delete(station.host);
    this.#changed();
    for (const { from, to, transfer } of this.#transfers) {
      if (from !== station) continue;
      to.takesSnapshot = false;
      const heardIn = isNoticed ? GONE_MS : SILENT_MS;
      this.#deps.world.schedule(to.owner, heardIn, "snapshot broke off", () => transfer.breakOff());
    }
    if (!isNoticed) return;
    for (const other of this.#stations.values()) {
      if (!other.peers.has(station.identity.memberId) || !this.isConnected(other.host, station.host)) continue;
      this.#deps.world.schedule(other.owner, GONE_MS, "gone", () => {
        if (!other.isClosed && this.isConnected(other.host, station.host) && !this.#stations.has(station.host)) {
          other.callbacks.onGone(station.identity.memberId);
        }
      });
    }
  }

  async #request(station: Station, id: NodeId, request: PeerRequest): Promise<PeerResponse> {
    const to = this.#hostOf(station, id);
    if (to === undefined || station.isClosed) throw new PeerCallError(`member ${id.toString(16)} is not known`, false);
    return await this.#call(station.host, station.owner, to, request);
  }

  #call(from: number, owner: Owner, to: number, request: PeerRequest): Promise<PeerResponse> {
    const { world, random } = this.#deps;
    return new Promise((resolve, reject) => {
      const fail = (message: string, connected: boolean): void => {
        timer.cancel();
        reject(new PeerCallError(message, connected));
      };
      let wasSent = false;
      const timer = world.schedule(owner, request.timeoutMs, "call timed out", () => fail("timed out", wasSent));
      const answer = (status: number, body: string | Uint8Array, headers: Readonly<Record<string, string>>): void => {
        const back = this.transit(to, from);
        if (back === undefined || random.chance(this.weather.drop)) return;
        const bytes = Buffer.from(body);
        world.schedule(
          owner,
          back,
          "call answered",
          () => {
            timer.cancel();
            const named = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
            resolve({ status, headers: Object.fromEntries(named), body: bytes });
          },
          hashBytes(bytes),
        );
      };
      const there = this.transit(from, to);
      if (there === undefined || random.chance(this.weather.drop)) return;
      if (this.#stations.get(to) === undefined) {
        world.schedule(owner, CONNECT_MS, "call refused", () => fail("connection refused", false));
        return;
      }
      const station = this.#stations.get(to);
      if (station === undefined) return;
      const body = Buffer.from(request.body ?? []);
      world.schedule(
        station.owner,
        there,
        "call",
        () => {
          if (station.isClosed) return;
          wasSent = true;
          station.callbacks.handle(request.method, request.path, body, {}).then(
            (answered: PeerHttpAnswer | undefined) =>
              answer(answered?.status ?? 404, answered?.body ?? "", answered?.headers ?? {}),
            () => answer(500, "Internal Server Error\n", {}),
          );
        },
        hashBytes(body),
      );
    });
  }

  #hostOf(station: Station, id: NodeId): number | undefined {
    const [url] = station.peers.get(id) ?? [];
    return url === undefined ? station.met.get(id) : parseUrl(url).host;
  }

  /** Connections follow the links at once. */
  #changed(): void {
    let isNew = false;
    for (const station of this.#stations.values()) {
      for (const urls of station.peers.values()) {
        const [url] = urls;
        if (url === undefined) continue;
        const { host } = parseUrl(url);
        const isUp = this.#stations.has(host) && this.isConnected(station.host, host);
        if (!isUp) station.activeSince.delete(host);
        else if (!station.activeSince.has(host)) {
          station.activeSince.set(host, station.env.now());
          isNew = true;
        }
      }
    }
    if (isNew) this.#turnAway();
    this.onChange();
  }
}

function count(counts: Map<number, number>, key: number, by: number): void {
  const left = (counts.get(key) ?? 0) + by;
  if (left <= 0) counts.delete(key);
  else counts.set(key, left);
}

/** One number for the two hosts; those of clients are below 0. */
function direction(from: number, to: number): number {
  return from * 65_536 + to;
}

/** Members listen at http://m1:2380, http://m2:2380, ...; a machine has further addresses, http://m1-1:2380, ... */
export function peerUrl(host: number, address = 0): string {
  return `http://m${host}${address === 0 ? "" : `-${address}`}:2380`;
}

const hostsByUrl = new Map<string, { readonly host: number; readonly path: string }>();

/** Whose peer URL it is. */
export function hostOf(url: string): number {
  return parseUrl(url).host;
}

function parseUrl(url: string): { readonly host: number; readonly path: string } {
  let parsed = hostsByUrl.get(url);
  if (parsed === undefined) {
    const match = /^http:\/\/m(\d+)(?:-\d+)?:2380(\/.*)?$/.exec(url);
    if (match === null) throw new Error(`no simulated machine has the URL ${url}`);
    parsed = { host: Number(match[1]), path: match[2] ?? "/" };
    hostsByUrl.set(url, parsed);
  }
  return parsed;
}

/** For readers of a trace. */
function describe(message: Message, to: number): string {
  const facts = Object.entries(message).filter(([name]) => name !== "type" && name !== "from" && name !== "to");
  const words = facts.map(([name, value]) => `${name}=${Array.isArray(value) ? value.length : value}`);
  return `${message.type} to m${to} ${words.join(" ")}`;
}
