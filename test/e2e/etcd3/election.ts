import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Campaign } from "etcd3";
import { expect } from "vitest";
import { until } from "../until.ts";
import type { Feature } from "./feature.ts";

const CANDIDATE = fileURLToPath(new URL("candidate.mjs", import.meta.url));
const NAME = "president";
/** Of the candidate that dies. */
const TTL = 3;

export const elections: readonly Feature[] = [
  {
    name: "election",
    shown: "campaign, observe, proclaim, resign; leader killed; elected process killed",
    async run(stage) {
      const election = stage.connect().election(NAME);
      const changes: (string | undefined)[] = [];
      const observer = await stage.connect().election(NAME).observe();
      observer.on("change", (value) => changes.push(value));
      const failures: Error[] = [];
      observer.on("error", (error) => failures.push(error));
      const campaign = (value: string): Campaign & { isElected?: boolean } => {
        const made: Campaign & { isElected?: boolean } = stage.connect().election(NAME, 30).campaign(value);
        made.on("error", (error) => failures.push(error));
        made.on("elected", () => {
          made.isElected = true;
        });
        return made;
      };
      const rules = (value: string | undefined) =>
        until(`${value} is observed`, () => {
          if (failures.length > 0) throw failures[0];
          return observer.leader() === value;
        });

      const first = campaign("ann");
      await rules("ann");
      await until("ann knows", () => first.isElected === true);
      expect(await election.leader()).toBe("ann");

      const second = spawn(process.execPath, [CANDIDATE, stage.cluster.endpoints.join(","), NAME, "bob", String(TTL)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      try {
        const said = output(second);
        await until("bob campaigns", () => said().includes("campaigning as"));
        const key = /campaigning as (\S+)/.exec(said())?.[1] ?? "";
        await until("bob waits", () => stage.connect().get(key).exists());
        const third = campaign("carl");
        const thirdKey = await third.getCampaignKey();
        await until("carl waits", () => stage.connect().get(thirdKey).exists());

        await first.proclaim("ann the second");
        await rules("ann the second");
        await stage.kill(await stage.cluster.leader());
        await stage.cluster.leader();
        expect(await election.leader()).toBe("ann the second");
        expect({ said: said().includes("elected"), third: third.isElected }).toEqual({ said: false, third: undefined });

        await first.resign();
        await rules("bob");
        await until("bob knows", () => said().includes("elected"));
        expect(third.isElected).toBeUndefined();
        second.kill("SIGKILL");
        await rules("carl");
        await until("carl knows", () => third.isElected === true);
        await third.resign();
        await rules(undefined);
        await observer.cancel();
      } finally {
        second.kill("SIGKILL");
      }
      expect(changes.filter((value) => value !== undefined)).toEqual(["ann", "ann the second", "bob", "carl"]);
      expect(failures).toEqual([]);
    },
  },
];

function output(child: ChildProcess): () => string {
  let text = "";
  child.stdout?.setEncoding("utf8").on("data", (more: string) => {
    text += more;
  });
  return () => text;
}
