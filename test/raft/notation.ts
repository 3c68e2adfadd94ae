/**
 * How messages, entries and members are written in the scripts:
 *
 *     n1@2 -> n2 MsgApp base=1@1 [2@2=a 3@2!addVoter:4 4@2] commit=1
 *
 * Member n1 in term 2 sends member n2 the entries after index 1 of term 1: the command "a", a membership change and an
 * empty entry. The same notation is read back by `inject`.
 */

import type { Entry, EntryType, Message, NodeId, Proposal } from "../../raft/types.ts";
import { NONE } from "../../raft/types.ts";
import { decodeText, encodeText } from "./cluster.ts";

export function nameOf(id: NodeId): string {
  return id === NONE ? "none" : `n${id}`;
}

export function idOf(name: string): NodeId {
  if (!/^n\d+$/.test(name)) throw new Error(`not a member: ${name}`);
  return BigInt(name.slice(1));
}

export function showEntry(entry: Entry): string {
  return `${entry.index}@${entry.term}${showData(entry)}`;
}

function showData({ type, data }: Proposal): string {
  if (type !== 0) return `!${decodeText(data)}`;
  return data.byteLength === 0 ? "" : `=${decodeText(data)}`;
}

export function showEntries(entries: readonly Entry[]): string {
  return `[${entries.map(showEntry).join(" ")}]`;
}

function showRound(context: Uint8Array): string {
  if (context.byteLength !== 8) return context.byteLength === 0 ? "" : ` context=${context.byteLength}B`;
  return ` round=${new DataView(context.buffer, context.byteOffset).getBigUint64(0)}`;
}

export function showMessage(message: Message): string {
  const sender = message.term === 0 ? nameOf(message.from) : `${nameOf(message.from)}@${message.term}`;
  const body = showBody(message);
  return `${sender} -> ${nameOf(message.to)} ${message.type}${body === "" ? "" : ` ${body}`}`;
}

function showBody(m: Message): string {
  switch (m.type) {
    case "MsgApp":
      return `base=${m.index}@${m.logTerm} ${showEntries(m.entries)} commit=${m.commit}`;
    case "MsgAppResp":
      return m.reject ? `reject=${m.index} hint=${m.rejectHint}@${m.logTerm}` : `match=${m.index}`;
    case "MsgHeartbeat":
      return `commit=${m.commit}${showRound(m.context)}`;
    case "MsgHeartbeatResp":
      return showRound(m.context).trim();
    case "MsgPreVote":
    case "MsgVote":
      return `last=${m.index}@${m.logTerm}${m.transfer ? " transfer" : ""}`;
    case "MsgPreVoteResp":
    case "MsgVoteResp":
      return `${m.reject ? "refused" : "granted"} commit=${m.commit}@${m.logTerm}`;
    case "MsgProp":
      return `[${m.entries.map(showData).join(" ")}]`;
    case "MsgReadIndex":
      return decodeText(m.id);
    case "MsgReadIndexResp":
      return `${decodeText(m.id)} at ${m.index}`;
    case "MsgSnap": {
      const { index, term, confState } = m.snapshot.metadata;
      return `at=${index}@${term} ${showMembers("voters", confState.voters)}${showMembers(" learners", confState.learners)}`;
    }
    case "MsgTransferLeader":
    case "MsgTimeoutNow":
      return "";
  }
}

export function showMembers(label: string, ids: readonly NodeId[]): string {
  return ids.length === 0 ? "" : `${label}=${ids.map(nameOf).join(",")}`;
}

// Reading.

/** "3@2", "3@2=a", "3@2!addVoter:4" */
export function parseEntry(word: string): Entry {
  const match = /^(\d+)@(\d+)(?:([=!])(.*))?$/.exec(word);
  if (match === null) throw new Error(`not an entry: ${word}`);
  const type: EntryType = match[3] === "!" ? 1 : 0;
  return { type, index: Number(match[1]), term: Number(match[2]), data: encodeText(match[4] ?? "") };
}

export function parsePoint(word: string): { index: number; term: number } {
  const { index, term } = parseEntry(word);
  return { index, term };
}

export function parseMessage(line: string): Message {
  const match = /^(n\d+)(?:@(\d+))? -> (n\d+) (\w+) ?(.*)$/.exec(line);
  if (match === null) throw new Error(`not a message: ${line}`);
  const [, sender = "", sentIn = "0", receiver = "", type = "", body = ""] = match;
  const envelope = { from: idOf(sender), to: idOf(receiver), term: Number(sentIn) };
  const list =
    /\[(.*)\]/
      .exec(body)?.[1]
      ?.split(" ")
      .filter((word) => word !== "") ?? [];
  const words = body.replace(/\[.*\]/, "").split(" ");
  const field = (name: string): string | undefined =>
    words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
  const number = (name: string): number => Number(field(name) ?? 0);
  const point = (name: string) => parsePoint(field(name) ?? "0@0");
  switch (type) {
    case "MsgApp": {
      const base = point("base");
      const entries = list.map(parseEntry);
      return { ...envelope, type, index: base.index, logTerm: base.term, entries, commit: number("commit") };
    }
    case "MsgAppResp": {
      const reject = field("reject") !== undefined;
      const hint = point("hint");
      const index = reject ? number("reject") : number("match");
      return { ...envelope, type, index, reject, rejectHint: hint.index, logTerm: hint.term };
    }
    case "MsgHeartbeat":
      return { ...envelope, type, commit: number("commit"), context: new Uint8Array(0) };
    case "MsgHeartbeatResp":
      return { ...envelope, type, context: encodeText(field("context") ?? "") };
    case "MsgPreVote":
    case "MsgVote": {
      const last = point("last");
      return { ...envelope, type, index: last.index, logTerm: last.term, transfer: words.includes("transfer") };
    }
    case "MsgPreVoteResp":
    case "MsgVoteResp": {
      const { index: commit, term: logTerm } = point("commit");
      return { ...envelope, type, reject: words.includes("refused"), commit, logTerm };
    }
    case "MsgSnap": {
      const voters = (field("voters") ?? "").split(",").map(idOf);
      const metadata = { ...point("at"), confState: { voters, learners: [] } };
      return { ...envelope, type, snapshot: { metadata, data: encodeText('{"commands":[]}') } };
    }
    case "MsgProp":
      return { ...envelope, type, entries: list.map((word) => ({ type: 0, data: encodeText(word.slice(1)) })) };
    case "MsgReadIndex":
      return { ...envelope, type, id: encodeText(body) };
    case "MsgReadIndexResp":
      return { ...envelope, type, id: encodeText(words[0] ?? ""), index: Number(words[2]) };
    case "MsgTransferLeader":
    case "MsgTimeoutNow":
      return { ...envelope, type };
    default:
      throw new Error(`cannot inject ${type}`);
  }
}
