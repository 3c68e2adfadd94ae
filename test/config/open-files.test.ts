import { describe, expect, it } from "vitest";
import { connectionRoom, openFilesLimit } from "../../src/open-files.ts";

const wanted = { clients: 10_000, peers: 1_024, calls: 128 };

describe("what connections may take of the open files", () => {
  it("is what was wanted where there is room", () => {
    expect(connectionRoom(Number.POSITIVE_INFINITY, wanted)).toEqual(wanted);
    expect(connectionRoom(150 + 10_000 + 1_024 + 128, wanted)).toEqual(wanted);
  });

  it("leaves 150 to the member, as etcd does, whatever the limit", () => {
    for (let limit = 190; limit < 12_000; limit++) {
      const { clients, peers, calls } = connectionRoom(limit, wanted);
      expect(clients + peers + calls).toBeLessThanOrEqual(limit - 150);
      expect(clients).toBeGreaterThanOrEqual(8);
      expect(peers).toBeGreaterThanOrEqual(24);
      expect(calls).toBeGreaterThanOrEqual(8);
    }
    expect(connectionRoom(256, wanted)).toEqual({ clients: 49, peers: 49, calls: 8 });
    expect(connectionRoom(4_096, wanted)).toEqual({ clients: 2_794, peers: 1_024, calls: 128 });
  });

  it("refuses a limit with which nobody could be served, and says what to do", () => {
    expect(() => connectionRoom(189, wanted)).toThrow(
      "only 189 files open, and a member needs 190: raise it (ulimit -n",
    );
  });
});

it("the limit of this process is a number of files", () => {
  expect(openFilesLimit()).toBeGreaterThanOrEqual(256);
});
