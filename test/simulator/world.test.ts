import { describe, expect, test } from "vitest";
import { type Owner, World } from "./world.ts";

function owner(name: string): Owner {
  return { name, dead: false, heldUntil: 0 };
}

function worldWith(uncaught: string[] = []): World {
  return new World({
    onUncaught: (who, error) => {
      uncaught.push(`${who?.name ?? "world"}: ${error instanceof Error ? error.message : String(error)}`);
    },
  });
}

describe("the world", () => {
  test("runs events by time, then in the order in which they were scheduled", async () => {
    const world = worldWith();
    const seen: string[] = [];
    for (const [delay, name] of [
      [5, "c"],
      [1, "a"],
      [5, "d"],
      [1, "b"],
    ] as const) {
      world.schedule(undefined, delay, name, () => seen.push(`${name}${world.now}`));
    }
    await world.run();
    expect(seen).toEqual(["a1", "b1", "c5", "d5"]);
  });

  test("drains all microtasks of an event before the next", async () => {
    const world = worldWith();
    const seen: string[] = [];
    world.schedule(undefined, 1, "first", () => {
      (async () => {
        for (let i = 0; i < 20; i++) await undefined;
        seen.push("microtasks of the first");
      })();
    });
    world.schedule(undefined, 1, "second", () => seen.push("second"));
    await world.run();
    expect(seen).toEqual(["microtasks of the first", "second"]);
  });

  test("keeps what is due for who is held, and gives it in order when he is released", async () => {
    const world = worldWith();
    const member = owner("m1.1");
    const seen: string[] = [];
    world.schedule(member, 2, "late", () => seen.push(`late ${world.now}`));
    world.schedule(member, 1, "early", () => seen.push(`early ${world.now}`));
    world.schedule(undefined, 0, "pause", () => world.hold(member, 10));
    world.schedule(undefined, 4, "other", () => seen.push(`other ${world.now}`));
    await world.run();
    expect(seen).toEqual(["other 4", "early 10", "late 10"]);
  });

  test("nothing of the dead happens", async () => {
    const world = worldWith();
    const member = owner("m1.1");
    const seen: string[] = [];
    world.schedule(member, 2, "never", () => seen.push("never"));
    world.schedule(undefined, 1, "crash", () => {
      member.dead = true;
    });
    await world.run();
    expect(seen).toEqual([]);
  });

  test.each([
    ["Date", () => Date.now()],
    ["Date", () => new Date()],
    ["random", () => Math.random()],
    ["now", () => performance.now()],
    ["setTimeout", () => setTimeout(() => undefined, 1)],
    ["nextTick", () => process.nextTick(() => undefined)],
  ])("the real %s is out of reach", async (name, reach) => {
    const uncaught: string[] = [];
    const world = worldWith(uncaught);
    world.schedule(owner("m1.1"), 1, "reach", () => {
      reach();
    });
    await world.run();
    expect(uncaught[0]).toBe(`m1.1: the real ${name} was reached`);
    expect(Date.now()).toBeGreaterThan(0);
  });

  test("a rejection that nobody handles belongs to whose event it came from", async () => {
    const uncaught: string[] = [];
    const world = worldWith(uncaught);
    world.schedule(owner("m2.1"), 1, "reject", () => {
      Promise.reject(new Error("lost")).finally(() => undefined);
    });
    world.schedule(undefined, 2, "later", () => undefined);
    await world.run();
    expect(uncaught).toEqual(["m2.1: lost"]);
  });

  test("the trace hash tells two runs apart, and two equal ones not", async () => {
    const hashOf = async (delay: number, bytes: number): Promise<string> => {
      const world = worldWith();
      world.schedule(owner("m1.1"), delay, "message", () => undefined, bytes);
      await world.run();
      return world.trace.hash;
    };
    expect(await hashOf(1, 7)).toBe(await hashOf(1, 7));
    expect(await hashOf(1, 7)).not.toBe(await hashOf(1, 8));
    expect(await hashOf(1, 7)).not.toBe(await hashOf(1.001, 7));
  });
});
