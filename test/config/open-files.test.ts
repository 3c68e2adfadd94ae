import { describe, expect, it } from "vitest";
import { connectionRoom, openFilesLimit } from "../../src/open-files.ts";

const wanted = { clients: 10_000, peers: 1_024 };

describe("what connections may take of the open files", () => {
  it("is what was wanted where there is room", () => {
    expect(connectionRoom(Number.POSITIVE_INFINITY, wanted)).toEqual(wanted);
    expect(connectionRoom(150 + 10_000 + 1_024, wanted)).toEqual(wanted);
  });

  it("leaves 150 to the member, as etcd does, whatever the limit", () => {
    for (let limit = 182; limit < 12_000; limit++) {
      const { clients, peers } = connectionRoom(limit, wanted);
      expect(clients + peers).toBeLessThanOrEqual(limit - 150);
      expect(clients).toBeGreaterThanOrEqual(8);
      expect(peers).toBeGreaterThanOrEqual(24);
    }
    expect(connectionRoom(256, wanted)).toEqual({ clients: 53, peers: 53 });
    expect(connectionRoom(4_096, wanted)).toEqual({ clients: 2_922, peers: 1_024 });
  });

  it("refuses a limit with which nobody could be served, and says what to do", () => {
    expect(() => connectionRoom(181, wanted)).toThrow(
      "only 181 files open, and a member needs 182: raise it (ulimit -n",
    );
  });
});

it("the limit of this process is a number of files", () => {
  expect(openFilesLimit()).toBeGreaterThanOrEqual(256);
});
