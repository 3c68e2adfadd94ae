/** What a call brings along: when to give up. */
export interface CallLimits {
  /** Whether `signal` is: most calls are only looked at now and then, and never need a signal to be made. */
  readonly aborted: boolean;
  readonly signal: AbortSignal;
  /** env.now() milliseconds. */
  readonly deadline: number | undefined;
}

export function limitsOf(signal: AbortSignal, deadline?: number): CallLimits {
  return {
    get aborted() {
      return signal.aborted;
    },
    signal,
    deadline,
  };
}

/** Of one that never gives up. */
export const PATIENT: CallLimits = limitsOf(new AbortController().signal);
