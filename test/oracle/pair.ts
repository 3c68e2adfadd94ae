import { etcdBinary } from "../e2e/etcdctl.ts";
import type { Pair } from "./difference.ts";
import { Target } from "./target.ts";

/** Two fresh servers, for as long as the work takes: a real etcd alone, and Quorate with this many members. */
export async function withPair<T>(members: number, work: (pair: Pair) => Promise<T>): Promise<T> {
  if (etcdBinary === undefined) throw new Error("there is no etcd to compare with");
  const judge = await Target.start(1, [], etcdBinary);
  try {
    const judged = await Target.start(members, []);
    try {
      return await work({ judge, judged });
    } finally {
      await judged.end();
    }
  } finally {
    await judge.end();
  }
}
