import { DowngradeRequestDowngradeAction as Action } from "../../proto/generated/etcdserverpb.ts";
import { errors } from "../api/errors.ts";
import type { Cluster, Command } from "../state/machine.ts";
import type { CallLimits } from "./call-limits.ts";

export interface DowngradeDeps {
  readonly cluster: Cluster;
  readonly readBarrier: (limits: CallLimits) => Promise<void>;
  readonly propose: (command: Command, limits: CallLimits) => Promise<unknown>;
}

/** N-15. Resolves with the version of the cluster, major and minor. */
export async function downgrade(
  { cluster, readBarrier, propose }: DowngradeDeps,
  action: number,
  version: string,
  callLimits: CallLimits,
): Promise<string> {
  const clusterVersion = (): readonly [major: number, minor: number] => {
    if (cluster.version === undefined) throw errors.downgradeNoClusterVersion;
    const [major = 0, minor = 0] = cluster.version.split(".").map(Number);
    return [major, minor];
  };
  switch (action) {
    case Action.VALIDATE:
    case Action.ENABLE: {
      const target = parseTarget(version);
      // So that a downgrade which began elsewhere is known here.
      await readBarrier(callLimits);
      const [major, minor] = clusterVersion();
      if (target !== `${major}.${minor - 1}.0`) throw errors.downgradeInvalidTarget;
      if (cluster.downgrade.enabled) throw errors.downgradeInProgress;
      if (action === Action.ENABLE) await propose({ downgradeInfoSet: { enabled: true, ver: target } }, callLimits);
      break;
    }
    case Action.CANCEL:
      await readBarrier(callLimits);
      // etcd 3.6 logs this and says that all is well; 3.5 tells the caller.
      if (!cluster.downgrade.enabled) throw errors.downgradeNotInflight;
      await propose({ downgradeInfoSet: { enabled: false, ver: "" } }, callLimits);
      break;
    default:
      throw errors.unknownDowngradeAction;
  }
  return clusterVersion().join(".");
}

/** "X.Y" or a semantic version, of which major and minor count. */
function parseTarget(version: string): string {
  const match = /^(\d{1,9})\.(\d{1,9})(?:\.\d{1,9}(?:-[\w.-]+)?(?:\+[\w.-]+)?)?$/.exec(version);
  if (match === null) throw errors.downgradeWrongFormat;
  return `${Number(match[1])}.${Number(match[2])}.0`;
}
