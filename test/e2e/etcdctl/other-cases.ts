import { AlarmRequestAlarmAction, AlarmType } from "../../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../../proto/generated/services.ts";
import type { Subcommand } from "./command.ts";
import { anyOrder, chain, chosenIds, initialCluster, ownFigures, secondsLeft, times } from "./masks.ts";
import type { Side } from "./side.ts";

const granted = (side: Side): Promise<bigint> => side.lease();

export const lease: readonly Subcommand[] = [
  { name: "lease grant", cases: [{ words: "lease grant 600", mask: chosenIds }, { words: "lease grant 9999999999" }] },
  {
    name: "lease timetolive",
    cases: [
      { words: "lease timetolive $lease", before: granted, mask: secondsLeft },
      {
        words: "lease timetolive $lease --keys",
        before: (side) => side.client.put("held", "x", { lease: BigInt(`0x${side.words.get("lease")}`) }),
        mask: secondsLeft,
      },
      { words: "lease timetolive 123456" },
    ],
  },
  {
    name: "lease keep-alive",
    cases: [
      { words: "lease keep-alive $lease --once", before: granted },
      { words: "lease keep-alive $lease", until: /TTL/, formats: ["simple", "json", "fields"] },
      { words: "lease keep-alive 123456 --once" },
    ],
  },
  {
    name: "lease list",
    cases: [{ words: "lease list", mask: chosenIds }],
  },
  {
    name: "lease revoke",
    cases: [{ words: "lease revoke $lease", before: granted }, { words: "lease revoke 123456" }],
  },
];

export const recipes: readonly Subcommand[] = [
  {
    name: "lock",
    cases: [
      { words: "lock mutex echo held" },
      { words: "lock mutex --ttl=20", until: /mutex\/|bXV0ZXgv/, mask: chosenIds },
      { words: "lock mutex false" },
    ],
  },
  {
    name: "elect",
    cases: [
      { words: "elect president-$format ann", until: /ann|YW5u/, mask: chosenIds },
      { words: "elect --listen others", before: (side) => side.put("others/1=bob"), until: /bob|Ym9i/ },
    ],
  },
];

const members = chain<Side>((text, side) => side.hidePlace(text), chosenIds, initialCluster, anyOrder);
const addVoter = (side: Side): Promise<void> => side.add(false);
const add = (side: Side): Promise<void> => side.add();
const forgetAdded = (side: Side): Promise<void> => side.forgetAdded();

export const member: readonly Subcommand[] = [
  { name: "member list", hasTable: true, cases: [{ words: "member list" }, { words: "member list --hex" }] },
  {
    name: "member add",
    cases: [
      { words: "member add m4 --peer-urls=$new", before: forgetAdded },
      { words: "member add m4 --peer-urls=$new --learner", before: forgetAdded },
      { words: "member add m4 --peer-urls=$taken" },
      { words: "member add m5 --peer-urls=http://127.0.0.1:9 --learner" },
      { words: "member add m5 --peer-urls=nonsense" },
    ].map((each) => ({ ...each, mask: members })),
  },
  {
    name: "member update",
    cases: [
      { words: "member update $added --peer-urls=http://127.0.0.1:9", before: addVoter, mask: members },
      { words: "member update 123456 --peer-urls=http://127.0.0.1:9" },
    ],
  },
  {
    name: "member promote",
    cases: [
      { words: "member promote $added", before: add, mask: members },
      {
        words: "member promote $added",
        before: (side) => side.startAdded(),
        formats: ["simple", "json", "protobuf"],
        mask: members,
      },
      { words: "member promote $m2" },
      { words: "member promote 123456" },
    ],
  },
  {
    name: "member remove",
    cases: [
      { words: "member remove $added", before: add, mask: members },
      { words: "member remove 123456" },
      { words: "member remove nonsense" },
    ],
  },
];

/** Of equal stores; what the recipes write has ids in it that are not the same. */
export const hashes: Subcommand = {
  name: "endpoint hashkv",
  hasTable: true,
  cases: [
    { words: "endpoint hashkv", everywhere: true, mask: anyOrder },
    { words: "endpoint hashkv --cluster", mask: anyOrder },
    { words: "endpoint hashkv --rev=1000000" },
  ],
};

/** As the second member would, were it full. */
const raise = (side: Side): Promise<unknown> =>
  side.client.unary(rpcs.MaintenanceAlarm, {
    action: AlarmRequestAlarmAction.ACTIVATE,
    memberID: BigInt(`0x${side.words.get("m2")}`),
    alarm: AlarmType.NOSPACE,
  });

const ENDPOINTS = ["", " --cluster"];

export const maintenance: readonly Subcommand[] = [
  {
    name: "endpoint health",
    hasTable: true,
    cases: ENDPOINTS.map((all) => ({
      words: `endpoint health${all}`,
      everywhere: true,
      mask: chain(times, anyOrder),
    })),
  },
  {
    name: "endpoint status",
    hasTable: true,
    cases: ENDPOINTS.map((all) => ({
      words: `endpoint status${all}`,
      everywhere: true,
      mask: chain(ownFigures, anyOrder),
    })),
  },
  // What is in the file differs; etcdctl checks its size, and backup.test.ts what it holds.
  { name: "snapshot save", cases: [{ words: "snapshot save $file" }] },
  {
    name: "alarm list",
    cases: [
      { words: "alarm list" },
      { words: "alarm list", before: raise },
      { words: "put refused x" },
      { words: "lease grant 60" },
      { words: "del nothing" },
      { words: "endpoint health", everywhere: true, mask: chain(times, anyOrder) },
      {
        words: "endpoint status",
        everywhere: true,
        formats: ["json", "fields"],
        mask: chain(ownFigures, anyOrder),
      },
    ],
  },
  { name: "alarm disarm", cases: [{ words: "alarm disarm", before: raise }, { words: "alarm disarm" }] },
  {
    name: "defrag",
    cases: [
      { words: "defrag", everywhere: true, mask: times },
      { words: "defrag --cluster", mask: chain(times, anyOrder) },
    ],
  },
  {
    name: "move-leader",
    cases: [
      { words: "move-leader 123456" },
      { words: "move-leader $m2" },
      { words: "move-leader $m3" },
      { words: "move-leader $m1", everywhere: true },
    ],
  },
];
