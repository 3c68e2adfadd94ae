import { describe, expect, test } from "vitest";
import {
  alarmKey,
  BUCKETS,
  decodeRevision,
  decodeUint64,
  encodeRevision,
  encodeUint64,
  isRevisionKey,
  isTombstoneKey,
  leaseKey,
  mainOf,
  memberKey,
  parseLeaseKey,
  parseMemberKey,
  revisionKey,
  roleKey,
  subOf,
  tombstoneKey,
  userKey,
} from "../../storage/schema.ts";
import {
  confStateJson,
  downgradeJson,
  memberJson,
  parseConfStateJson,
  parseDowngradeJson,
  parseMemberJson,
  StoredJsonError,
} from "../../storage/stored-json.ts";

const hex = (key: string) => Buffer.from(key, "latin1").toString("hex");

describe("stored keys", () => {
  test("N-8: buckets are all there, in name order", () => {
    expect([...BUCKETS].sort()).toEqual(BUCKETS);
    expect(BUCKETS).toHaveLength(10);
  });

  test("N-8: revision keys are main, underscore, sub, and t for a tombstone", () => {
    expect(hex(revisionKey(2, 0))).toBe("00000000000000025f0000000000000000");
    expect(hex(tombstoneKey(0x1234567890, 3))).toBe("00000012345678905f000000000000000374");
    for (const main of [0, 1, 255, 256, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 48, Number.MAX_SAFE_INTEGER]) {
      for (const sub of [0, 1, 2 ** 32 + 5]) {
        expect(mainOf(revisionKey(main, sub))).toBe(main);
        expect(subOf(tombstoneKey(main, sub))).toBe(sub);
        expect(decodeRevision(encodeRevision(main))).toBe(main);
        expect(decodeUint64(encodeUint64(main))).toBe(main);
      }
    }
  });

  test("revision keys are told from others", () => {
    expect(isTombstoneKey(revisionKey(5, 1))).toBe(false);
    expect(isTombstoneKey(tombstoneKey(5, 1))).toBe(true);
    expect(isRevisionKey(revisionKey(5, 1))).toBe(true);
    expect(isRevisionKey(tombstoneKey(5, 1))).toBe(true);
    expect(isRevisionKey(`${revisionKey(5, 1)}x`)).toBe(false);
    expect(isRevisionKey("0123456789abcdefg")).toBe(false);
    expect(() => decodeRevision(Buffer.from("12345678"))).toThrow(/no revision/);
    expect(() => mainOf(Buffer.alloc(17, 0xff).toString("latin1"))).toThrow(/safe integers/);
  });

  test("N-8: lease ids are 8 bytes, signed; member ids are hexadecimal", () => {
    expect(hex(leaseKey(0x1234n))).toBe("0000000000001234");
    expect(hex(leaseKey(-9n))).toBe("fffffffffffffff7");
    expect(parseLeaseKey(leaseKey(-9n))).toBe(-9n);
    expect(parseLeaseKey(leaseKey(2n ** 63n - 1n))).toBe(2n ** 63n - 1n);
    expect(memberKey(0xef12a2ed4f459e98n)).toBe("ef12a2ed4f459e98");
    expect(memberKey(0x1n)).toBe("1");
    expect(parseMemberKey("ef12a2ed4f459e98")).toBe(0xef12a2ed4f459e98n);
    expect(() => parseMemberKey("EF")).toThrow(/hexadecimal/);
  });

  test("N-8: an alarm is its AlarmMember; names are UTF-8", () => {
    expect(hex(alarmKey(0xef12a2ed4f459e98n, 1))).toBe("0898bd96fad4dda889ef011001");
    expect(hex(userKey("ä"))).toBe("c3a4");
    expect(roleKey("root")).toBe("root");
  });
});

describe("stored JSON", () => {
  const id = 17226440372394466968n;

  test("N-8: a member keeps its 64-bit id", () => {
    const member = {
      id,
      name: "s1",
      peerURLs: ["http://127.0.0.1:42380"],
      clientURLs: ["http://127.0.0.1:42379", "http://[::1]:42379"],
      isLearner: false,
    };
    const json =
      '{"id":17226440372394466968,"peerURLs":["http://127.0.0.1:42380"],"name":"s1",' +
      '"clientURLs":["http://127.0.0.1:42379","http://[::1]:42379"]}';
    expect(memberJson(member)).toBe(json);
    expect(parseMemberJson(json)).toEqual(member);
  });

  test("N-8: empty fields of a member are left out, as Go does", () => {
    const learner = { id: 5n, name: "", peerURLs: ["http://a:1"], clientURLs: [], isLearner: true };
    expect(memberJson(learner)).toBe('{"id":5,"peerURLs":["http://a:1"],"isLearner":true}');
    expect(parseMemberJson(memberJson(learner))).toEqual(learner);
    expect(parseMemberJson('{"id":5,"peerURLs":null,"isPromote":true}').peerURLs).toEqual([]);
  });

  test("strings are escaped as Go does, and digits in them stay", () => {
    const member = { id: 1n, name: 'a<b>&"\\ 12\u2028\t', peerURLs: ["http://a:1"], clientURLs: [], isLearner: false };
    const json = memberJson(member);
    expect(json).toContain('"name":"a\\u003cb\\u003e\\u0026\\"\\\\ 12\\u2028\\t"');
    expect(parseMemberJson(json)).toEqual(member);
  });

  test("N-8: confState and downgrade", () => {
    expect(confStateJson({ voters: [id], learners: [] })).toBe('{"voters":[17226440372394466968],"auto_leave":false}');
    const both = { voters: [1n, id], learners: [2n ** 64n - 1n] };
    expect(confStateJson(both)).toBe(
      '{"voters":[1,17226440372394466968],"learners":[18446744073709551615],"auto_leave":false}',
    );
    expect(parseConfStateJson(confStateJson(both))).toEqual(both);
    expect(parseConfStateJson(confStateJson({ voters: [], learners: [] }))).toEqual({ voters: [], learners: [] });
    expect(downgradeJson({ targetVersion: "3.5.0", enabled: true })).toBe('{"target-version":"3.5.0","enabled":true}');
    expect(parseDowngradeJson('{"target-version":"","enabled":false}')).toEqual({ targetVersion: "", enabled: false });
  });

  test.each([
    '{"id":1.5}',
    '{"id":"1"}',
    '{"id":-1}',
    '{"id":18446744073709551616}',
    '{"peerURLs":[]}',
    "[]",
    "{",
    '{"id":1,"name":5}',
  ])("%s is no member", (json) => {
    expect(() => parseMemberJson(json)).toThrow(StoredJsonError);
  });
});
