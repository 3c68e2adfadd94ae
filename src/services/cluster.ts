import { Member } from "../../proto/generated/etcdserverpb.ts";
import { rpcs } from "../../proto/generated/services.ts";
import { memberUrls } from "../api/member-urls.ts";
import { type AnyHandler, unary } from "../rpc/rpc.ts";
import type { Server } from "../server/server.ts";

export function clusterService(server: Server): AnyHandler[] {
  const { membership } = server;
  // H-3: no revision in the headers of this service.
  const answer = (members: readonly Member[]) => ({ header: server.header(0), members });
  return [
    unary(rpcs.ClusterMemberAdd, async ({ peerURLs, isLearner }, context) => {
      const { member, members } = await membership.add(memberUrls(peerURLs), isLearner, context);
      return { header: server.header(0), member, members };
    }),

    unary(rpcs.ClusterMemberRemove, async ({ ID }, context) => answer(await membership.remove(ID, context))),

    // M-6: etcd does not look at the URLs of an update.
    unary(rpcs.ClusterMemberUpdate, async ({ ID, peerURLs }, context) =>
      answer(await membership.update(ID, peerURLs, context)),
    ),

    unary(rpcs.ClusterMemberPromote, async ({ ID }, context) => answer(await membership.promote(ID, context))),

    unary(rpcs.ClusterMemberList, async ({ linearizable }, context) => {
      if (linearizable) await server.readBarrier(context);
      const members = server.state.cluster.members();
      return answer(members.map(({ id: ID, ...member }) => Member.create({ ID, ...member })));
    }),
  ];
}
