import type { IKeyValue, IWatchResponse, Watcher } from "etcd3";
import { expect } from "vitest";
import { Load, readAll } from "../load.ts";
import { until } from "../until.ts";
import type { Feature } from "./feature.ts";

export const watchers: readonly Feature[] = [
  {
    name: "watcher",
    shown: "key, prefix, range, old revision, only puts or deletes, previous, cancel",
    async run(stage) {
      const client = stage.connect();
      const { header } = await client.put("w/a").value("1");
      // A member that has not applied the put yet would begin its watches before it, and etcd's does, too.
      for (const endpoint of stage.cluster.endpoints) await stage.connect([endpoint]).get("w/a");
      const said: Record<string, string[]> = {};
      const listen = (name: string, watcher: Watcher): Watcher => {
        const lines: string[] = [];
        said[name] = lines;
        const line = (what: string) => (kv: IKeyValue, previous?: IKeyValue | null) =>
          lines.push(`${what} ${kv.key}=${kv.value}${!previous ? "" : ` was ${previous.value}`}`);
        return watcher.on("put", line("put")).on("delete", line("delete"));
      };
      const watching = [
        listen("key", await client.watch().key("w/a").create()),
        listen("prefix", await client.watch().prefix("w/").withPreviousKV().create()),
        listen("range", await client.watch().inRange({ start: "w/b", end: "w/c" }).create()),
        listen("old", client.watch().key("w/a").startRevision(header.revision).watcher()),
        listen("puts", await client.watch().prefix("w/").only("put").create()),
        listen("deletes", await client.watch().prefix("w/").only("delete").create()),
      ];
      await client.put("w/a").value("2");
      await client.put("w/b").value("3");
      await client.delete().key("w/a");
      const expected = {
        key: ["put w/a=2", "delete w/a="],
        prefix: ["put w/a=2 was 1", "put w/b=3", "delete w/a= was 2"],
        range: ["put w/b=3"],
        old: ["put w/a=1", "put w/a=2", "delete w/a="],
        puts: ["put w/a=2", "put w/b=3"],
        deletes: ["delete w/a="],
      };
      await until("every watcher has what it is to have", () =>
        Object.entries(expected).every(([name, lines]) => (said[name]?.length ?? 0) >= lines.length),
      );
      await Promise.all(watching.map((watcher) => watcher.cancel()));
      const marker = await client.watch().prefix("w/").create();
      const marked = new Promise((resolve) => marker.on("put", resolve));
      await client.put("w/b").value("after the others were cancelled");
      await marked;
      expect(said).toEqual(expected);
      await marker.cancel();
    },
  },
  {
    name: "watcher, its member killed",
    shown: "twice, writes meanwhile and after its return: every event once, in order",
    async run(stage) {
      const client = stage.connect();
      const seen: { key: string; revision: number }[] = [];
      const watcher = client.watch().prefix("resume/").watcher();
      watcher.on("put", ({ key, mod_revision }) => seen.push({ key: key.toString(), revision: Number(mod_revision) }));
      let through: IWatchResponse | undefined;
      let failure: Error | undefined;
      watcher.on("error", (error) => {
        failure = error;
      });
      watcher.on("disconnected", () => {
        through = undefined;
      });
      watcher.on("connected", (response) => {
        through = response as unknown as IWatchResponse;
      });
      const connected = async (): Promise<IWatchResponse> => {
        await until("the watcher is connected", () => through !== undefined);
        return through as IWatchResponse;
      };
      await connected();
      const { cluster } = stage;
      const load = new Load(
        cluster.members.map((member) => cluster.client(member)),
        1,
        "resume",
      );
      try {
        for (let round = 0; round < 2; round++) {
          const member = stage.memberOf((await connected()).header);
          const before = seen.length;
          await until("it has seen some", () => seen.length >= before + 30);
          await stage.kill(member);
          await load.progress(30);
          expect(stage.memberOf((await connected()).header)).not.toBe(member);
          const resumed = seen.length;
          await until("it has seen some since", () => seen.length >= resumed + 30);
          await stage.restart(member);
          await load.progress(30);
        }
      } finally {
        await load.stop();
      }
      const stored = [...(await readAll(cluster.client(cluster.member(0)), "resume/"))]
        .map(([key, { modRevision }]) => ({ key, revision: modRevision }))
        .sort((a, b) => a.revision - b.revision);
      await until("the last one was seen", () => seen.at(-1)?.key === stored.at(-1)?.key);
      expect(seen).toEqual(stored);
      const revisions = new Map(seen.map(({ key, revision }) => [key, revision]));
      expect(load.acknowledged.filter(({ key, revision }) => revisions.get(key) !== revision)).toEqual([]);
      expect(failure).toBeUndefined();
      await watcher.cancel();
    },
  },
];
