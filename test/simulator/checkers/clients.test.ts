import { describe, expect, test } from "vitest";
import type { Operation, WatchEvent, WatchRequest, WatchResponse, WatchStream } from "../history.ts";
import { del, FakeCluster, get, put, tampered, txn, watchAll } from "./fake-cluster.ts";
import { checkLeases } from "./leases.ts";
import { checkProgress } from "./liveness.ts";
import type { Change } from "./model.ts";
import type { Verdict } from "./verdict.ts";
import { checkWatches } from "./watch.ts";

function messages(verdict: Verdict): string {
  return verdict.violations.map(({ message }) => message).join("\n");
}

const eventOf = ({ kind, kv }: Change): WatchEvent => ({ kind, kv, prevKv: undefined });
const withPrevious = ({ kind, kv, before }: Change): WatchEvent => ({ kind, kv, prevKv: before });

/** A stream that a test answers by hand. */
class Watching {
  readonly cluster = new FakeCluster();
  readonly stream: WatchStream;

  constructor() {
    this.stream = this.cluster.history.openStream(1, 1);
  }

  create(request: Partial<WatchRequest> = {}, watchId = 0n): this {
    const { history, model } = this.cluster;
    history.watchCreate(this.stream, watchAll(request));
    return this.say({ created: true, watchId, revision: model.revision });
  }

  say(response: Partial<WatchResponse>): this {
    this.cluster.history.watchResponse(this.stream, {
      revision: 0,
      watchId: 0n,
      created: false,
      canceled: false,
      compactRevision: 0,
      cancelReason: "",
      fragment: false,
      events: [],
      ...response,
    });
    return this;
  }

  events(events: readonly WatchEvent[], more: Partial<WatchResponse> = {}): this {
    return this.say({ events, revision: this.cluster.model.revision, ...more });
  }

  get verdict(): Verdict {
    return checkWatches(this.cluster.history, this.cluster.truth());
  }

  get messages(): string {
    return messages(this.verdict);
  }
}

describe("watch", () => {
  test("live events, history, filters, prev_kv, progress, fragments, cancel and compaction", () => {
    const w = new Watching();
    const { cluster } = w;
    const [first, second] = [cluster.execute(put("a", "1")).changes, cluster.execute(put("a", "2")).changes];
    w.create().create({ startRevision: 2, prevKv: true }, 1n).create({ key: "b", rangeEnd: "", noPut: true }, 2n);
    w.events([...first, ...second].map(withPrevious), { watchId: 1n });
    const third = cluster.execute(txn([], [put("b", "1"), put("c", "1")])).changes;
    w.events(third.map(eventOf)).events(third.map(withPrevious), { watchId: 1n });
    cluster.history.watchProgress(w.stream);
    w.say({ watchId: -1n, revision: 4 });
    const fourth = cluster.execute(del("a", "z")).changes;
    w.events(fourth.map(eventOf)).events(fourth.slice(1, 2).map(eventOf), { watchId: 2n });
    w.events(fourth.map(withPrevious), { watchId: 1n });
    w.create({ startRevision: 4, fragment: true }, 3n);
    w.events(third.map(eventOf), { watchId: 3n, fragment: true }).events(fourth.map(eventOf), { watchId: 3n });
    w.create({ startRevision: 3 }, 4n);
    cluster.execute({ kind: "compact", revision: 5, physical: false });
    w.say({ watchId: 4n, canceled: true, compactRevision: 5 });
    cluster.history.watchCancel(w.stream, 0n);
    w.say({ canceled: true, revision: 5 });
    expect(w.messages).toBe("");
    expect(w.verdict.counts).toMatchObject({
      watches: 5,
      events: 18,
      "events with prev_kv": 7,
      "catch-up watches": 3,
      progress: 3,
      "overtaken by compaction": 1,
      fragments: 1,
    });
  });

  /** Three revisions, of one, two and one events. */
  function run(
    act: (w: Watching, changes: readonly (readonly Change[])[]) => void,
    request: Partial<WatchRequest> = {},
  ): string {
    const w = new Watching();
    w.create(request);
    const commands = [put("a", "1"), txn([], [put("b", "1"), put("c", "1")]), put("a", "2")];
    act(
      w,
      commands.map((command) => w.cluster.execute(command).changes),
    );
    return w.messages;
  }

  test("a compaction takes what its own revision put and deleted again, and nothing else", () => {
    const begin = (compact: number): readonly [Watching, readonly Change[]] => {
      const w = new Watching();
      w.cluster.execute(put("a", "1"));
      const { changes } = w.cluster.execute(
        txn([], [txn([], [put("b", "1"), put("c", "1")]), txn([], [del("b", "c")])]),
      );
      if (compact > 0) w.cluster.execute({ kind: "compact", revision: compact, physical: false });
      return [w.create({ startRevision: 3 }), changes];
    };
    const left = (kind: "c" | "b", changes: readonly Change[]): WatchEvent[] =>
      changes.slice(kind === "b" ? 1 : 2).map(eventOf);
    const [compacted, changes] = begin(3);
    expect(changes.map(({ kind, kv }) => `${kind} ${kv.key}`)).toEqual(["put b", "put c", "delete b"]);
    expect(compacted.events(left("b", changes)).messages).toBe("");
    expect(begin(0)[0].events(left("b", changes)).messages).toContain("wrong or missing");
    expect(begin(3)[0].events(left("c", changes)).messages).toContain("wrong or missing");
  });

  test("refuses what breaks order, completeness, uniqueness and atomicity", () => {
    const all = (w: Watching, changes: readonly (readonly Change[])[]): Watching =>
      w.events(changes.flat().map(eventOf));
    expect(run((w, c) => void all(w, c))).toBe("");
    expect(run((w, [, b, c]) => void w.events([b, c].flatMap((x) => x ?? []).map(eventOf)))).toContain(
      "wrong or missing",
    );
    expect(run((w, [a, , c]) => void w.events([a, c].flatMap((x) => x ?? []).map(eventOf)))).toContain(
      "wrong or missing",
    );
    expect(run((w, c) => void all(all(w, c), c))).toContain("which waits for revision 5");
    expect(run((w, c) => void w.events(c.flat().reverse().map(eventOf)))).not.toBe("");
    expect(run((w, c) => void w.events(c.flat().slice(0, 2).map(eventOf)))).toContain("is missing");
    expect(run((w, c) => void w.events(c.flat().slice(0, 2).map(eventOf), { fragment: true }))).toContain("unasked");
  });

  test("refuses wrong contents, filters, ranges and prev_kv", () => {
    const changed = (field: object) => (w: Watching, c: readonly (readonly Change[])[]) =>
      void w.events(c.flat().map((change) => ({ ...eventOf(change), kv: { ...change.kv, ...field } })));
    expect(run(changed({ value: "?" }))).toContain("wrong");
    expect(run(changed({ version: 7 }))).toContain("wrong");
    expect(run((w, c) => void w.events(c.flat().map(eventOf)), { noPut: true })).toContain("gets");
    expect(run((w, c) => void w.events(c.flat().map(eventOf)), { key: "a", rangeEnd: "" })).not.toBe("");
    expect(run((w, c) => void w.events(c.flat().map(eventOf)), { prevKv: true })).toContain("lost its prev_kv");
    expect(run((w, c) => void w.events(c.flat().map(withPrevious)))).toContain("nobody wants");
  });

  test("refuses progress that lies, and progress that nobody asked for", () => {
    const lie = (w: Watching): void => {
      w.cluster.history.watchProgress(w.stream);
      w.say({ watchId: -1n, revision: 3 });
    };
    expect(run(lie)).toContain("never got");
    expect(run((w) => void w.say({ revision: 3 }), { progressNotify: true })).toContain("never got");
    expect(run((w) => void w.say({ revision: 1 }))).toContain("does not want");
    expect(run((w) => void w.say({ watchId: -1n, revision: 1 }))).toContain("nobody asked for");
    expect(run((w) => void w.say({ watchId: -1n, revision: 9 }))).toContain("when 4 was the highest");
  });

  test("W-11: in the end a stream whose watches have everything is told so", () => {
    const asked = (then: (w: Watching) => void, request: Partial<WatchRequest> = {}): string =>
      run((w, changes) => {
        w.events(changes.flat().map(eventOf));
        w.cluster.now += 60_000;
        w.cluster.history.watchProgress(w.stream);
        then(w);
        w.cluster.history.world({ kind: "settled" });
      }, request);
    expect(asked((w) => void w.say({ watchId: -1n, revision: 4 }))).toBe("");
    expect(asked(() => undefined)).toContain("never answered");
    const dead = (w: Watching): void => {
      w.create({}, 1n);
      w.cluster.history.watchCancel(w.stream, 1n);
    };
    expect(asked(dead)).toBe("");
  });

  test("refuses false cancels, events after them, and strange creations", () => {
    expect(run((w) => void w.say({ canceled: true }))).toContain("nobody asked");
    expect(run((w) => void w.say({ canceled: true, compactRevision: 3 }))).toContain("is the highest");
    const overtaken = (w: Watching, changes: readonly (readonly Change[])[]): void => {
      w.events(changes.flat().map(eventOf));
      w.cluster.execute({ kind: "compact", revision: 4, physical: false });
      w.say({ canceled: true, compactRevision: 4 });
    };
    expect(run(overtaken)).toContain("needs none below 5");
    const after = (w: Watching, changes: readonly (readonly Change[])[]): void => {
      w.cluster.history.watchCancel(w.stream, 0n);
      w.say({ canceled: true });
      w.events(changes.flat().map(eventOf));
    };
    expect(run(after)).toContain("which is canceled");
    expect(run((w) => void w.say({ created: true, watchId: 5n }))).toContain("nobody asked");
    expect(run((w) => void w.create({}, 0n))).toContain("was created as 0");
    expect(run((w) => void w.create({ key: "b", rangeEnd: "a" }, 1n))).toContain("its range is empty");
    const refused = (w: Watching): void => {
      w.cluster.history.watchCreate(w.stream, watchAll());
      w.say({ created: true, canceled: true, watchId: -1n });
    };
    expect(run(refused)).toContain("was refused");
  });

  test("what is open in the end has everything, also over a break", () => {
    const end = (w: Watching): void => {
      w.cluster.now += 10_000;
      w.cluster.history.world({ kind: "settled" });
    };
    const complete = (w: Watching, changes: readonly (readonly Change[])[]): void => {
      w.events(changes.flat().map(eventOf));
      end(w);
    };
    expect(run(complete)).toBe("");
    expect(run((w) => end(w))).toContain("never got");
    const broken = (w: Watching): void => {
      w.cluster.history.watchEnd(w.stream, "connection lost");
      end(w);
    };
    expect(run(broken)).toBe("");
    const justMade = (w: Watching): void => w.cluster.history.world({ kind: "settled" });
    expect(run(justMade)).toBe("");
  });
});

describe("leases", () => {
  const keepAlive = { kind: "leaseKeepAlive", id: 7n } as const;

  function granted(ttlSeconds = 10, maxDrift = 0): FakeCluster {
    const cluster = new FakeCluster(maxDrift);
    cluster.ask({ kind: "leaseGrant", id: 7n, ttlSeconds });
    cluster.ask(put("a", "1", { lease: 7n }));
    return cluster;
  }

  function check(cluster: FakeCluster): Verdict {
    const { truth, placement } = cluster.judged();
    return checkLeases(cluster.history, truth, placement);
  }

  const expire = (cluster: FakeCluster): void => void cluster.execute({ kind: "leaseRevoke", id: 7n });

  function timeToLive(cluster: FakeCluster, ttlSeconds: number, keys: readonly string[]): Operation {
    const { history, model } = cluster;
    const operation = history.invoke(1, 1, { kind: "leaseTimeToLive", id: 7n, keys: true });
    const response = {
      kind: "leaseTimeToLive",
      revision: model.revision,
      ttlSeconds,
      grantedSeconds: 10,
      keys,
    } as const;
    history.settle(operation, { kind: "ok", response });
    return operation;
  }

  test("renewed, told, expired in time, and gone", () => {
    const cluster = granted();
    cluster.now = 8_000;
    cluster.ask(keepAlive);
    timeToLive(cluster, 9, ["a"]);
    cluster.now = 18_100;
    expire(cluster);
    cluster.ask(keepAlive);
    const gone = cluster.history.invoke(1, 1, { kind: "leaseTimeToLive", id: 7n, keys: false });
    const response = { kind: "leaseTimeToLive", revision: 3, ttlSeconds: -1, grantedSeconds: 0, keys: [] } as const;
    cluster.history.settle(gone, { kind: "ok", response });
    cluster.ask(get("a"));
    const verdict = check(cluster);
    expect(messages(verdict)).toBe("");
    expect(verdict.counts).toMatchObject({ leases: 1, "keep-alives": 2, "times to live": 2, expired: 1 });
  });

  test("refuses an early end: from the grant, from a keep-alive, from what timeToLive said", () => {
    const fromGrant = granted();
    fromGrant.now = 9_000;
    expire(fromGrant);
    expect(messages(check(fromGrant))).toContain("counted from its grant");

    const fromRenewal = granted();
    fromRenewal.now = 9_000;
    fromRenewal.ask(keepAlive);
    fromRenewal.now = 12_000;
    expire(fromRenewal);
    expect(messages(check(fromRenewal))).toContain("counted from a keep-alive");

    const fromAnswer = granted();
    fromAnswer.now = 9_000;
    timeToLive(fromAnswer, 8, ["a"]);
    fromAnswer.now = 12_000;
    expire(fromAnswer);
    expect(messages(check(fromAnswer))).toContain("counted from a timeToLive");
  });

  test("a client's revoke is no expiry, and a fast clock may be early by its drift", () => {
    const revoked = granted();
    revoked.ask({ kind: "leaseRevoke", id: 7n });
    expect(messages(check(revoked))).toBe("");

    const fast = granted(10, 0.1);
    fast.now = 9_200;
    expire(fast);
    expect(messages(check(fast))).toBe("");
  });

  test("refuses answers that are not true", () => {
    const unknown = granted();
    unknown.ask(
      keepAlive,
      tampered((r) => (r.kind === "leaseKeepAlive" ? { ...r, ttlSeconds: 0 } : r)),
    );
    expect(messages(check(unknown))).toContain("heard that lease 7 is unknown");

    const shorter = granted();
    shorter.ask(
      keepAlive,
      tampered((r) => (r.kind === "leaseKeepAlive" ? { ...r, ttlSeconds: 3 } : r)),
    );
    expect(messages(check(shorter))).toContain("3 s instead of 10 s");

    const other = granted();
    other.ask(
      keepAlive,
      tampered((r) => (r.kind === "leaseKeepAlive" ? { ...r, id: 8n } : r)),
    );
    expect(messages(check(other))).toContain("answered for lease 8");

    const dead = granted();
    dead.ask({ kind: "leaseRevoke", id: 7n });
    dead.ask(
      keepAlive,
      tampered((r) => (r.kind === "leaseKeepAlive" ? { ...r, ttlSeconds: 10 } : r)),
    );
    expect(messages(check(dead))).toContain("which was not there");

    const keys = granted();
    timeToLive(keys, 9, ["b"]);
    expect(messages(check(keys))).toContain('holds ["b"]');

    const long = granted();
    timeToLive(long, 12, ["a"]);
    expect(messages(check(long))).toContain("of a lease of 10 s");

    const short = granted();
    short.now = 3_000;
    timeToLive(short, 5, ["a"]);
    expect(messages(check(short))).toContain("of a lease of 10 s");
  });

  test("gone in bounded time once faults have ended and the cluster has recovered, unless somebody renews it", () => {
    const ended = (keep: boolean, expireAt: number, recoversAt = 0): FakeCluster => {
      const cluster = granted();
      cluster.history.world({ kind: "healed" });
      cluster.now = Math.max(cluster.now, recoversAt);
      cluster.history.world({ kind: "recovered" });
      for (; keep && cluster.now < 60_000; cluster.now += 5_000) cluster.ask(keepAlive);
      cluster.now = expireAt;
      if (expireAt < 60_000) expire(cluster);
      cluster.now = 60_000;
      cluster.history.world({ kind: "settled" });
      return cluster;
    };
    expect(messages(check(ended(false, 15_000)))).toBe("");
    expect(check(ended(false, 15_000)).counts["ended in time"]).toBe(1);
    expect(messages(check(ended(true, 60_000)))).toBe("");
    expect(messages(check(ended(false, 60_000)))).toContain("is there after");
    expect(messages(check(ended(false, 50_000)))).toContain("is there after");
    expect(messages(check(ended(false, 50_000, 35_000)))).toBe("");
  });
});

describe("progress after healing", () => {
  function healed(act: (cluster: FakeCluster) => void): Verdict {
    const cluster = new FakeCluster();
    cluster.probe({
      member: 1,
      life: 1,
      kind: "started",
      term: 1,
      vote: 0,
      commit: 0,
      appliedIndex: 0,
      firstIndex: 1,
      log: [],
    });
    cluster.history.world({ kind: "recovered" });
    act(cluster);
    cluster.now += 30_000;
    cluster.history.world({ kind: "settled" });
    return checkProgress(cluster.history, cluster.truth());
  }
  const unknown = { kind: "unknown", reason: "timed out" } as const;

  test("everybody is answered", () => {
    const verdict = healed((cluster) => void cluster.ask(put("a", "1")));
    expect(verdict).toEqual({ violations: [], counts: { "answered after healing": 1 } });
  });

  test("refuses time-outs and silence, but not of a member that is down or while the leader is moved", () => {
    expect(messages(healed((c) => void c.ask(put("a", "1"), () => unknown)))).toContain("timed out");
    expect(messages(healed((c) => void c.history.invoke(1, 1, get("a"))))).toContain("not returned");
    const down = healed((c) => {
      c.probe({ member: 1, life: 1, kind: "ended", how: "fatal" });
      c.ask(put("a", "1"), () => unknown);
    });
    expect(messages(down)).toBe("");
    const moved = healed((c) => {
      const move = c.history.invoke(1, 1, { kind: "moveLeader", to: 2 });
      c.ask(put("a", "1"), () => unknown);
      c.history.settle(move, unknown);
    });
    expect(messages(moved)).toBe("");
  });

  test("L-4: a keep-alive may wait for the end of a lease that is due, and of no other", () => {
    const waited = (endsAfterMs: number): string =>
      messages(
        healed((c) => {
          c.execute({ kind: "leaseGrant", id: 1n, ttlSeconds: 10 });
          c.ask({ kind: "leaseKeepAlive", id: 1n }, () => unknown);
          c.now += endsAfterMs;
          c.execute({ kind: "leaseRevoke", id: 1n });
        }),
      );
    // One lease, and 1,000 of them end in a second.
    expect(waited(1)).toBe("");
    expect(waited(2)).toContain("timed out");
  });

  test("L-4: who waits for the end of a lease hears of it", () => {
    const told = (afterMs: number): string =>
      messages(
        healed((c) => {
          c.execute({ kind: "leaseGrant", id: 1n, ttlSeconds: 10 });
          const waiting = c.history.invoke(1, 1, { kind: "leaseKeepAlive", id: 1n });
          c.execute({ kind: "leaseRevoke", id: 1n });
          c.now += afterMs;
          c.history.settle(waiting, { kind: "unknown", reason: "client: deadline exceeded" });
        }),
      );
    expect(told(3_000)).toBe("");
    expect(told(3_001)).toContain("nobody told it");
  });
});
