import { expect, test } from "vitest";
import { claimedUrls, requestHeaders } from "../../src/peer/headers.ts";

test("what a member tells of its URLs fits into a header, whatever letters its name has", () => {
  const peerUrls = ["http://b\u00fccher.example:2380", "http://\u4f8b\u3048.example:2380", "http://plain:2380"];
  const headers = requestHeaders({ memberId: 1n, clusterId: 2n, serverVersion: "3.6.14", peerUrls });
  const told = claimedUrls({ "x-peerurls": headers["X-PeerURLs"] });
  expect(told).toEqual(["http://xn--bcher-kva.example:2380", "http://xn--r8jz45g.example:2380", "http://plain:2380"]);
});
