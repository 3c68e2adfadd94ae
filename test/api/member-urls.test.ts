import { expect, test } from "vitest";
import { errors } from "../../src/api/errors.ts";
import { memberUrls } from "../../src/api/member-urls.ts";

test("URLs are trimmed and sorted, their scheme in lower case", () => {
  expect(memberUrls([" http://b:2 ", "HTTP://a:1", "https://[::1]:3"])).toEqual([
    "http://a:1",
    "http://b:2",
    "https://[::1]:3",
  ]);
  expect(memberUrls(["unix://x", "unixs:///path"])).toEqual(["unix://x", "unixs:///path"]);
  // As in etcd: a port is not looked at, and neither is what follows.
  expect(memberUrls(["http://a:", "http://a:99999", "http://a:1?x=1"])).toHaveLength(3);
});

// What a real etcd refuses too: test/e2e/membership-errors.test.ts.
test.each([
  [[]],
  [[""]],
  [["x"]],
  [["a:1"]],
  [["http://"]],
  [["http://a"]],
  [["http://a:1/"]],
  [["http://a:1/p"]],
  [["http://a:x"]],
  [["http://::1:1"]],
  [["http://[::1"]],
  [["http://a b:1"]],
  [["ftp://a:1"]],
  [["http:a:1"]],
  [["http://a:1", "tcp://b:1"]],
])("%j is refused", (urls) => {
  expect(() => memberUrls(urls)).toThrow(errors.memberBadUrls);
});
