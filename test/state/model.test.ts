import { expect, test } from "vitest";
import { decode } from "../../proto/codec.ts";
import { CompactionRequest, LeaseGrantRequest } from "../../proto/generated/etcdserverpb.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import { createRandom } from "../storage/random.ts";
import { drawKvCommand } from "./commands.ts";
import { Session } from "./harness.ts";
import { KvModel } from "./model.ts";

/** How often each way of ending was seen: a test that never meets an error or a success would prove little. */
const seen = new Map<string, number>();

test.each(Array.from({ length: 40 }, (_, seed) => seed))("every answer is the model's, seed %i", async (seed) => {
  const random = createRandom(1000 + seed);
  const session = await Session.open();
  const model = new KvModel();
  for (const id of [1n, 2n]) {
    session.answer({ leaseGrant: LeaseGrantRequest.create({ ID: id, TTL: 60 }) });
    model.leases.add(id);
  }
  for (let step = 0; step < 150; step++) {
    if (random.chance(0.02)) {
      const revision = Math.max(model.compacted + 1, model.revision - random.below(5));
      if (revision <= model.revision) {
        session.answer({ compaction: CompactionRequest.create({ revision }) });
        model.compacted = revision;
        while (!session.machine.mvcc.compactSlice(3));
      }
    }
    const command = drawKvCommand(random, model.revision);
    const { put, deleteRange, range, txn } = command;
    const expected = model.run((scratch) => {
      if (put !== undefined) return model.put(scratch, put);
      if (deleteRange !== undefined) return model.delete(scratch, deleteRange);
      if (range !== undefined) return model.range(scratch, range);
      return txn && model.txn(scratch, txn);
    });
    const { result, events, revision } = session.command(command);
    const name = Object.keys(command)[0] as string;
    if ("error" in expected) {
      expect(result, `step ${step}`).toEqual({ kind: "error", error: expected.error });
      expect(events).toEqual([]);
    } else {
      expect(result, `step ${step} ${name}`).toEqual({ kind: "response", response: expected.response });
    }
    const end = `${name} ${"error" in expected ? expected.error.message : "ok"}`;
    seen.set(end, (seen.get(end) ?? 0) + 1);
    expect(revision).toBe(model.revision);
  }
  const live = session.range("", { rangeEnd: "\0" }).kvs.map((kv) => decode(KeyValue, kv));
  expect(live.length).toBe(model.now.size);
  for (const kv of live) expect(kv).toEqual({ ...model.now.get(kv.key), value: kv.value });
});

test("... and all ways of ending were met", () => {
  for (const end of [
    "put ok",
    "put etcdserver: key not found",
    "put etcdserver: requested lease not found",
    "deleteRange ok",
    "range ok",
    "range etcdserver: mvcc: required revision has been compacted",
    "range etcdserver: mvcc: required revision is a future revision",
    "txn ok",
    "txn etcdserver: key not found",
    "txn etcdserver: requested lease not found",
    "txn etcdserver: mvcc: required revision has been compacted",
    "txn etcdserver: mvcc: required revision is a future revision",
  ]) {
    expect(seen.get(end) ?? 0, end).toBeGreaterThan(5);
  }
});
