import type { ILeaseKeepAliveResponse, Lease } from "etcd3";
import { EtcdLeaseInvalidError } from "etcd3";
import { expect } from "vitest";
import { until } from "../until.ts";
import type { Feature } from "./feature.ts";

const TTL = 4;

export const leases: readonly Feature[] = [
  {
    name: "lease, its member killed",
    shown: "kept alive through another past its time-to-live, the keys stay",
    async run(stage) {
      const client = stage.connect();
      const lease = client.lease(TTL);
      await lease.put("lease/kept").value("1");
      let last: { response: ILeaseKeepAliveResponse; at: number } | undefined;
      let lost: Error | undefined;
      lease.on("keepaliveSucceeded", (response) => {
        last = { response, at: Date.now() };
      });
      lease.on("lost", (error) => {
        lost = error;
      });
      await until("it was renewed", () => last !== undefined);
      const member = stage.memberOf((last as { response: ILeaseKeepAliveResponse }).response.header);
      await stage.kill(member);
      const killedAt = Date.now();
      await until(
        "it was renewed after its first time-to-live",
        () => lost !== undefined || (last !== undefined && last.at > killedAt + (TTL + 1) * 1_000),
      );
      expect(lost).toBeUndefined();
      expect(last && stage.memberOf(last.response.header)).not.toBe(member);
      expect(await client.get("lease/kept")).toBe("1");
      await lease.revoke();
      expect(await client.get("lease/kept")).toBeNull();
    },
  },
  {
    name: "lease: revoke, release, lost",
    shown: "revoke deletes at once, release when time is up; revoked by others: lost",
    async run(stage) {
      const client = stage.connect();
      const put = async (name: string, ttl: number): Promise<Lease> => {
        const lease = client.lease(ttl);
        await lease.put(`lease/${name}`).value(name);
        return lease;
      };
      const released = await put("released", 2);
      const gone = client.watch().key("lease/released").only("delete").create();
      const isGone = gone.then((watcher) => new Promise((resolve) => watcher.on("delete", resolve)));
      await gone;
      released.release();

      const revoked = await put("revoked", 60);
      expect((await revoked.keepaliveOnce()).TTL).toBe("60");
      await revoked.revoke();
      expect(revoked.revoked()).toBe(true);
      expect(await client.get("lease/revoked")).toBeNull();
      await expect(revoked.put("lease/revoked").value("again").exec()).rejects.toBeInstanceOf(EtcdLeaseInvalidError);

      const taken = await put("taken", 2);
      const lost = new Promise<Error>((resolve) => taken.on("lost", resolve));
      await client.leaseClient.leaseRevoke({ ID: await taken.grant() });
      expect(await lost).toBeInstanceOf(EtcdLeaseInvalidError);
      await isGone;
      expect(await client.get("lease/released")).toBeNull();
    },
  },
];
