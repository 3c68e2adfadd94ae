import { ENTRY_NORMAL, type Entry, type NodeId } from "../../raft/types.ts";
import { type MemberRecord, StoredJsonError } from "../../storage/stored-json.ts";
import type { Env, Timer } from "../env.ts";
import type { Logger } from "../log.ts";
import { PeerCallError, type PeerTransport } from "../peer/transport.ts";
import { decodeCommand } from "../state/entry.ts";
import { hexId } from "./ids.ts";
import { membersIn } from "./join.ts";

export interface FormerLifeDeps {
  readonly env: Env;
  readonly log: Logger;
  /** A question that got lost is asked again after this time, so that an election waits no longer for its answer. */
  readonly electionMs: number;
  readonly transport: () => PeerTransport;
  /** Its log holds nothing but the cluster's founding; otherwise there is nothing to ask. */
  readonly isFounding: boolean;
  /** The other founders. */
  readonly peers: readonly NodeId[];
  /** Throws when these members say that this one has run before. */
  readonly check: (members: readonly MemberRecord[]) => void;
  readonly onRefused: (reason: unknown) => void;
}

/**
 * The members as applied, with the client URLs of those that announced themselves in entries which this member holds and
 * has not applied: after a restart it may not get to apply them before somebody asks.
 */
export function withAnnounced(
  members: readonly MemberRecord[],
  unapplied: () => readonly Entry[],
): readonly MemberRecord[] {
  if (members.every(({ clientURLs }) => clientURLs.length > 0)) return members;
  const announced = new Map<bigint, readonly string[]>();
  for (const { type, data } of unapplied()) {
    const command = type === ENTRY_NORMAL ? decodeCommand(data) : undefined;
    if (command?.kind === "attributes") announced.set(command.member, command.clientURLs);
    const set = command?.kind === "command" ? command.request.clusterMemberAttrSet : undefined;
    if (set !== undefined) announced.set(set.memberID, set.memberAttributes?.clientUrls ?? []);
  }
  return members.map((member) =>
    member.clientURLs.length > 0 ? member : { ...member, clientURLs: announced.get(member.id) ?? [] },
  );
}

const ASK_AGAIN_MS = 250;
const ASK_LIMIT_MS = 2_000;

/**
 * B-1, for a member whose log holds nothing but the cluster's founding. It may be new, or it lost its disk and has
 * forgotten its votes and acknowledgements; whom it asked at its start may not have been there to tell it. The schedule:
 * of three members the second lags, the first loses its disk, the third is down; first and second start at the same
 * moment, the blank first votes for the second, and what the first and the third had acknowledged is gone. So nothing
 * that a peer sends is taken until that peer has said that it knows of no former life. To lose messages is harmless;
 * what the peer that answers does not know, no vote or entry of its own can rest on.
 *
 * It ends when this member is about to announce itself: who knows its client URLs from then on may know them from this
 * life. All that was committed is applied by then, and would have shown a former one.
 */
export class FormerLife {
  readonly #deps: FormerLifeDeps;
  readonly #unasked: Set<NodeId>;
  readonly #timers = new Set<Timer>();
  #stopped = false;

  constructor(deps: FormerLifeDeps) {
    this.#deps = deps;
    this.#unasked = new Set(deps.isFounding ? deps.peers : []);
  }

  start(): void {
    for (const id of [...this.#unasked]) void this.#ask(id);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
  }

  /** May a message of this member be taken? */
  admits(from: NodeId): boolean {
    return !this.#unasked.has(from);
  }

  /** `members`: as applied. False: this member has run before, which is told to onRefused. */
  mayAnnounce(members: readonly MemberRecord[]): boolean {
    this.stop();
    this.#unasked.clear();
    return !this.#deps.isFounding || this.#isNew(members);
  }

  #isNew(members: readonly MemberRecord[]): boolean {
    try {
      this.#deps.check(members);
      return true;
    } catch (error) {
      this.#deps.onRefused(error);
      return false;
    }
  }

  async #ask(id: NodeId): Promise<void> {
    const { transport, log, onRefused, electionMs } = this.#deps;
    const timeoutMs = Math.min(ASK_LIMIT_MS, electionMs);
    let known: readonly MemberRecord[];
    try {
      known = membersIn(await transport().request(id, { method: "GET", path: "/members", timeoutMs }));
    } catch (error) {
      // Environment: it is not up yet, or still starting.
      if (!(error instanceof PeerCallError) && !(error instanceof StoredJsonError)) return onRefused(error);
      log.debug({ "peer-id": hexId(id), error: error.message }, "could not ask a peer for its members");
      this.#askLater(id);
      return;
    }
    if (this.#stopped) return;
    if (this.#isNew(known)) this.#unasked.delete(id);
    else this.stop();
  }

  #askLater(id: NodeId): void {
    if (this.#stopped) return;
    const timer = this.#deps.env.setTimer(() => {
      this.#timers.delete(timer);
      void this.#ask(id);
    }, ASK_AGAIN_MS);
    this.#timers.add(timer);
  }
}
