import { membershipMutants } from "./membership.ts";
import type { Mutant } from "./mutant.ts";
import { raftMutants } from "./raft.ts";
import { serverMutants } from "./server.ts";
import { snapshotMutants } from "./snapshots.ts";
import { stateMutants } from "./state.ts";
import { storageMutants } from "./storage.ts";
import { watchMutants } from "./watch.ts";

export const mutants: readonly Mutant[] = [
  ...raftMutants,
  ...membershipMutants,
  ...storageMutants,
  ...snapshotMutants,
  ...stateMutants,
  ...serverMutants,
  ...watchMutants,
];
