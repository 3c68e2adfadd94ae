import { Member } from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { type AnyHandler, unary } from "../rpc/rpc.ts";
import type { Server } from "../server/server.ts";

export function clusterService(server: Server): AnyHandler[] {
  return [
    unary(rpcs.ClusterMemberList, async ({ linearizable }, context) => {
      if (linearizable) await server.readBarrier(context);
      const members = server.state.cluster
        .members()
        .map(({ id, name, peerURLs, clientURLs, isLearner }) =>
          Member.create({ ID: id, name, peerURLs, clientURLs, isLearner }),
        );
      // H-3: no revision in the headers of this service.
      return { header: server.header(0), members };
    }),
  ];
}
