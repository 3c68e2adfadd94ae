import { etcdBinary } from "../e2e/etcdctl.ts";
import type { Pair } from "./difference.ts";
import { type Patience, Target } from "./target.ts";

/** For machines that are busy. */
export const PATIENT: Patience = { answerMs: 20_000, watchMs: 10_000 };
/** To look for the same again, with fewer operations. */
export const HASTY: Patience = { answerMs: 5_000, watchMs: 1_500 };

/**
 * Two fresh servers, for as long as the work takes: a real etcd alone, and Quorate with this many members. Rejects when the
 * signal comes; the servers end in any case.
 */
export async function withPair<T>(
  members: number,
  work: (pair: Pair) => Promise<T>,
  signal: AbortSignal = new AbortController().signal,
  patience: Patience = PATIENT,
): Promise<T> {
  if (etcdBinary === undefined) throw new Error("there is no etcd to compare with");
  signal.throwIfAborted();
  const judge = await Target.start(1, patience, etcdBinary);
  try {
    signal.throwIfAborted();
    const judged = await Target.start(members, patience);
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
