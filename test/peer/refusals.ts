import { senderHeaders } from "./harness.ts";

export interface Refusal {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly status: number;
  readonly text: string;
}

/** What a receiver with this id and cluster answers to a dialer that it does not know: etcd's words and ours. */
export function strangersRefusals(receiver: bigint, cluster: bigint): readonly Refusal[] {
  const good = senderHeaders(0xabcn, receiver, cluster);
  const without = (name: string): Record<string, string> =>
    Object.fromEntries(Object.entries(good).filter(([key]) => key !== name));
  const streams = ["message", "msgapp"].flatMap((type): Refusal[] => {
    const path = `/raft/stream/${type}/abc`;
    const get = { method: "GET", path };
    const incompatible = { status: 412, text: "incompatible version\n" };
    const mismatch = { status: 412, text: "cluster ID mismatch\n" };
    return [
      { name: `${type}: unknown sender`, ...get, headers: good, status: 404, text: "error sender not found\n" },
      { name: `${type}: old sender`, ...get, headers: { ...good, "X-Server-Version": "2.3.8" }, ...incompatible },
      { name: `${type}: no version`, ...get, headers: without("X-Server-Version"), ...incompatible },
      {
        name: `${type}: sender that demands more`,
        ...get,
        headers: { ...good, "X-Min-Cluster-Version": "3.99.0" },
        ...incompatible,
      },
      { name: `${type}: other cluster`, ...get, headers: { ...good, "X-Etcd-Cluster-ID": "1" }, ...mismatch },
      { name: `${type}: no cluster`, ...get, headers: without("X-Etcd-Cluster-ID"), ...mismatch },
      {
        name: `${type}: no id`,
        method: "GET",
        path: `/raft/stream/${type}/xyz`,
        headers: good,
        status: 404,
        text: "invalid from\n",
      },
      { name: `${type}: POST`, method: "POST", path, headers: good, status: 405, text: "Method Not Allowed\n" },
    ];
  });
  return [
    ...streams,
    {
      name: "unknown stream",
      method: "GET",
      path: "/raft/stream/other/abc",
      headers: good,
      status: 404,
      text: "invalid path\n",
    },
    { name: "pipeline: GET", method: "GET", path: "/raft", headers: good, status: 405, text: "Method Not Allowed\n" },
    {
      name: "pipeline: other cluster",
      method: "POST",
      path: "/raft",
      headers: { ...good, "X-Etcd-Cluster-ID": "1" },
      status: 412,
      text: "cluster ID mismatch\n",
    },
    {
      name: "pipeline: old sender",
      method: "POST",
      path: "/raft",
      headers: { ...good, "X-Server-Version": "2.3.8" },
      status: 412,
      text: "incompatible version\n",
    },
    {
      name: "snapshot: GET",
      method: "GET",
      path: "/raft/snapshot",
      headers: good,
      status: 405,
      text: "Method Not Allowed\n",
    },
    {
      name: "snapshot: other cluster",
      method: "POST",
      path: "/raft/snapshot",
      headers: { ...good, "X-Etcd-Cluster-ID": "1" },
      status: 412,
      text: "cluster ID mismatch\n",
    },
    { name: "no such path", method: "GET", path: "/nothing", headers: {}, status: 404, text: "404 page not found\n" },
    {
      name: "no such raft path",
      method: "GET",
      path: "/raft/nothing",
      headers: good,
      status: 404,
      text: "404 page not found\n",
    },
  ];
}
