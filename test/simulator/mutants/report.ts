export interface Finding {
  readonly checker: string;
  readonly message: string;
  /** Simulated milliseconds. */
  readonly at: number;
}

/** What child.ts says, one a line. */
export type Report =
  | { readonly kind: "begin"; readonly seed: number }
  | {
      readonly kind: "end";
      readonly seed: number;
      readonly simulatedMs: number;
      readonly failure?: Finding | undefined;
    };
