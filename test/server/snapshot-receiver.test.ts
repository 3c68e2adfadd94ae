import { beforeEach, describe, expect, test } from "vitest";
import { encode } from "../../proto/codec.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import type { SnapshotMessage } from "../../src/peer/transport.ts";
import { SnapshotReceiver } from "../../src/server/snapshot-receiver.ts";
import { stateFiles } from "../../src/server/state-files.ts";
import type { Bucket } from "../../storage/backend.ts";
import {
  CONF_STATE,
  CONSISTENT_INDEX,
  encodeUint64,
  leaseKey,
  memberKey,
  revisionKey,
  TERM,
} from "../../storage/schema.ts";
import { confStateJson, memberJson } from "../../storage/stored-json.ts";
import { SimStores } from "../simulator/sim-stores.ts";
import { type Row, sourceOf, writtenFile } from "../storage/bolt-files.ts";
import { MemoryDisk } from "../storage/memory-disk.ts";

const DIR = "/a/member";
const confState = { voters: [1n, 2n], learners: [] };

let disk: MemoryDisk;
let stores: SimStores;
let receiver: SnapshotReceiver;
let received: SnapshotMessage[];
let decided: boolean;

beforeEach(async () => {
  disk = new MemoryDisk();
  await disk.makeDirectory(DIR);
  stores = new SimStores();
  received = [];
  decided = true;
  receiver = new SnapshotReceiver({
    disk,
    log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    memberDir: DIR,
    openBackend: (path) => stores.open(disk, path, {}),
    commitIndex: () => 10,
    onReceived: async (message) => {
      received.push(message);
      return decided;
    },
  });
});

function ignore(): void {
  // Whatever it says.
}

const member = { id: 1n, name: "a", peerURLs: ["http://a"], clientURLs: [], isLearner: false };

function rowsOf(): Record<Bucket, readonly Row[]> & Record<string, readonly Row[]> {
  const pair = KeyValue.create({ key: "k", value: Buffer.from("v"), createRevision: 2, modRevision: 2, version: 1 });
  return {
    alarm: [],
    auth: [],
    authRoles: [],
    authUsers: [],
    cluster: [],
    key: [[revisionKey(2, 0), encode(KeyValue, pair)]],
    lease: [],
    members: [[memberKey(1n), Buffer.from(memberJson(member))]],
    members_removed: [],
    meta: [
      [CONF_STATE, Buffer.from(confStateJson(confState))],
      [CONSISTENT_INDEX, encodeUint64(25)],
      [TERM, encodeUint64(3)],
    ],
  };
}

async function receive(
  rows: Record<string, readonly Row[]>,
  change: (file: Buffer) => void = ignore,
): Promise<unknown> {
  const file = await writtenFile(sourceOf(rows));
  change(file);
  const message: SnapshotMessage = {
    type: "MsgSnap",
    from: 2n,
    to: 1n,
    term: 3,
    snapshot: { metadata: { index: 20, term: 3, confState }, data: new Uint8Array(0) },
  };
  return receiver.receive(message, [file.subarray(0, 5_000), file.subarray(5_000)] as never).then(
    () => undefined,
    (error: unknown) => error,
  );
}

const left = (): string[] => disk.paths().filter((path) => path.startsWith(DIR));

describe("a received snapshot (P-12)", () => {
  test("where the file stands is what raft is told, and the state waits under the name of that", async () => {
    expect(await receive(rowsOf())).toBeUndefined();
    expect(received.map(({ snapshot }) => snapshot.metadata)).toEqual([{ index: 25, term: 3, confState }]);
    expect(left()).toEqual([stateFiles(DIR).part, expect.stringMatching(/\/state-0{15}3-0{14}19\/NUMBER$/)]);
  });

  test("one that raft has no use for leaves nothing", async () => {
    decided = false;
    expect(await receive(rowsOf())).toBeUndefined();
    expect(left()).toEqual([]);
  });

  test.each<[string, Readonly<Record<string, readonly Row[]>>, RegExp]>([
    ["a member that is none", { members: [[memberKey(1n), Buffer.from("{")]] }, /no member could/],
    ["a removed member without an id", { members_removed: [["?", Buffer.of()]] }, /member id/],
    ["a lease of no id", { lease: [[leaseKey(1n).slice(1), Buffer.of()]] }, /lease id/],
    ["a lease that is none", { lease: [[leaseKey(1n), Buffer.of(0xff)]] }, /no member could/],
    ["a key that is no revision", { key: [["key", Buffer.of()]] }, /the key 6b6579/],
    ["a pair that is none", { key: [[revisionKey(2, 0), Buffer.of(0xff)]] }, /pair is damaged/],
    ["no point", { meta: [] }, /there is no consistent_index/],
    ["half a point", { meta: withMeta(CONSISTENT_INDEX, Buffer.of(1)) }, /has 1 bytes, not 8/],
    ["an earlier point", { meta: withMeta(CONSISTENT_INDEX, encodeUint64(19)) }, /entry 19/],
    ["a later term", { meta: withMeta(TERM, encodeUint64(4)) }, /of term 4, and was sent in/],
    ["no voters", { meta: withMembers({ voters: [], learners: [1n] }) }, /possible membership/],
    ["a twin", { meta: withMembers({ voters: [1n], learners: [1n] }) }, /possible membership/],
  ])("with %s it is of no use: refused, and nothing is left of it", async (_, spoilt, why) => {
    expect(await receive({ ...rowsOf(), ...spoilt })).toMatchObject({
      status: 400,
      message: expect.stringMatching(why),
    });
    expect([received, left()]).toEqual([[], []]);
  });

  test("a file with a wrong page is of no use, and the word names the page", async () => {
    const refused = await receive(rowsOf(), (file) => file.fill(0xff, 3 * 4_096, 3 * 4_096 + 16));
    expect(refused).toMatchObject({ status: 400, message: expect.stringMatching(/page 3/) });
    expect([received, left()]).toEqual([[], []]);
  });

  test("a disk that is full refuses it as its own fault", async () => {
    disk.before = ({ kind }) => {
      if (kind === "write") throw new Error("ENOSPC");
    };
    expect(await receive(rowsOf())).toMatchObject({ status: 500, message: "the snapshot could not be saved" });
    expect(received).toEqual([]);
  });
});

function withMeta(key: string, value: Buffer): readonly Row[] {
  return (rowsOf()["meta"] ?? []).map((row) => (row[0] === key ? [key, value] : row));
}

function withMembers(conf: typeof confState | { voters: bigint[]; learners: bigint[] }): readonly Row[] {
  return withMeta(CONF_STATE, Buffer.from(confStateJson(conf)));
}
