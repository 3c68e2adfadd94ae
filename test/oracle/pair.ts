import { etcdBinary } from "../e2e/etcdctl.ts";
import type { Pair } from "./difference.ts";
import { Target } from "./target.ts";

/**
 * Two fresh servers, for as long as the work takes: a real etcd alone, and Quorate with this many members. Rejects when the
 * signal comes; the servers end in any case.
 */
export async function withPair<T>(
  members: number,
  work: (pair: Pair) => Promise<T>,
  signal: AbortSignal = new AbortController().signal,
): Promise<T> {
  if (etcdBinary === undefined) throw new Error("there is no etcd to compare with");
  signal.throwIfAborted();
  const judge = await Target.start(1, [], etcdBinary);
  try {
    signal.throwIfAborted();
    const judged = await Target.start(members, []);
    try {
      signal.throwIfAborted();
      return await unlessAborted(signal, work({ judge, judged }));
    } finally {
      await judged.end();
    }
  } finally {
    await judge.end();
  }
}

function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort);
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
