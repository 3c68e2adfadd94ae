import type { Side } from "./side.ts";

/** What of a side a mask has to know. */
type Known = Pick<Side, "isKnown">;
type Mask<K extends Known = Known> = (text: string, side: K) => string;

export const chain =
  <K extends Known = Known>(...masks: readonly Mask<K>[]): Mask<K> =>
  (text, side) =>
    masks.reduce((masked, mask) => mask(masked, side), text);

/** Where the order of what is listed hangs on ids or on who is quicker. */
export const anyOrder: Mask = (text) =>
  text
    .replace(/\[(?=\{)|(?<=\})\]/g, "\n")
    .split(/\n|(?<=\}),\s?(?=\{)|, (?=\d+: \{)|(?<=[="0-9]),(?=m\d=)/)
    .sort()
    .join("\n");

/** The members that a new one is to be started with; which is last has the closing quote. */
export const initialCluster: Mask = (text) => text.replace(/^(ETCD_INITIAL_CLUSTER=)"(.*)"$/m, "$1\n$2");

/** Columns of a table are as wide as their widest cell. */
const anyWidth: Mask = (text) => text.replace(/[─┬┼┴]+/g, "─").replace(/ +/g, " ");

/** Version, sizes, and how many entries the log has. */
export const ownFigures: Mask = chain(anyWidth, (text) =>
  text
    .replace(/\b3\.\d+\.\d+\b/g, "VERSION")
    .replace(/\b[\d.]+ [kM]?B\b/g, "SIZE")
    .replace(/("(?:dbSize|dbSizeInUse|raftIndex|raftAppliedIndex)":)\d+/g, "$1N")
    .replace(/("(?:DBSize|DBSizeInUse|RaftIndex|RaftAppliedIndex)" : )\d+/g, "$1N")
    .replace(/, \d+, \d+, $/gm, ", INDEX, INDEX, ")
    .replace(/│ \d+ │ \d+ │ +│$/gm, "│ INDEX │ INDEX │ │"),
);

export const times: Mask = chain(anyWidth, (text) => text.replace(/\b[\d.]+(?:ms|µs|s)\b/g, "TIME"));

/** Ids of leases and of added members: everything that looks like an id and is none of the cluster that was founded. */
export const chosenIds: Mask = (text, side) =>
  text
    .replace(/\b(?:[0-9a-f]{10,16}|\d{12,20})\b/g, (id) => (side.isKnown(id) ? id : "CHOSEN"))
    // Short ones are padded.
    .replace(/ +(?=CHOSEN)/g, " ")
    // Keys below "mutex/" and "president-" end with the id of a lease.
    .replace(/"key":"(bXV0ZXgv|cHJlc2lkZW50)[^"]*"/g, '"key":"$1"');

/** Seconds that are left of 600; not those that were granted. */
export const secondsLeft: Mask = (text) => text.replace(/(remaining\(|"ttl":|"TTL" : )(?:59\d|600)(?=s?\b)/g, "$1LEFT");

/** A progress notice may come more than once before a watch is told to end. */
export const repeatedProgress: Mask = (text) => text.replace(/^(progress notify: \d+\n)\1+/gm, "$1");
