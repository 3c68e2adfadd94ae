import { rpcs } from "../../../proto/generated/services.ts";
import type { Subcommand } from "./command.ts";
import { repeatedProgress } from "./masks.ts";
import type { Side } from "./side.ts";

const app = (side: Side): Promise<void> => side.put("app/b=2", "app/a=3", "app/c=1", "app/d=5", "app/e=4");
const doomed = (side: Side): Promise<void> => side.put("d/a=1", "d/b=2", "d/c=3");

const TXN = `value("t/a") = "1"
version("t/a") > "0"
create("t/a") < "100000"
mod("t/a") != "1"

put t/b "two words"
get t/b
del t/c

put t/b no

`;

/** `$now`: the revision at which the store is. */
async function note(side: Side): Promise<void> {
  side.words.set("now", String(await side.revision()));
}

export const kv: readonly Subcommand[] = [
  {
    name: "put",
    cases: [
      { words: "put a 1" },
      { words: "put a 2 --prev-kv" },
      { words: "put leased x --lease=$lease", before: (side) => side.lease() },
      { words: "put leased y --ignore-lease" },
      { words: "put leased --ignore-value --prev-kv" },
      { words: "put piped", input: "from standard input" },
      { words: "put a x --lease=123456" },
      { words: "put none --ignore-value" },
      { words: ["put", "", "x"] },
    ],
  },
  {
    name: "get",
    cases: [
      { words: "get app/a", before: app },
      { words: "get app/ --prefix" },
      { words: "get app/b app/d" },
      { words: "get app/d --from-key --limit=2" },
      { words: "get app/ --prefix --limit=2" },
      { words: "get app/ --prefix --keys-only" },
      { words: "get app/ --prefix --count-only" },
      { words: "get app/ --prefix --sort-by=VALUE --order=DESCEND" },
      { words: "get app/ --prefix --sort-by=MODIFY" },
      { words: "get app/ --prefix --sort-by=CREATE --order=DESCEND --limit=3" },
      { words: "get app/ --prefix --print-value-only --hex" },
      { words: "get a --consistency=s" },
      { words: "get a --rev=2" },
      { words: "get app/none" },
      { words: "get a --rev=1000000" },
    ],
  },
  {
    name: "del",
    cases: [
      { words: "del d/a", before: doomed },
      { words: "del d/a" },
      { words: "del d/b d/c --prev-kv" },
      { words: "del d/ --prefix --prev-kv", before: doomed },
      { words: "del zz/ --from-key", before: (side) => side.put("zz/a=1", "zz/b=2") },
      { words: ["del", ""] },
    ],
  },
  {
    name: "txn",
    cases: [
      { words: "txn", input: TXN, before: (side) => side.put("t/a=1", "t/c=1") },
      { words: "txn", input: TXN, before: (side) => side.put("t/a=2") },
      { words: "txn --interactive", input: TXN },
      { words: "txn", input: "\n\nput t/a 1\nput t/a 2\n\n\n" },
    ],
  },
  {
    name: "compaction",
    cases: [
      { words: "compaction $now", before: (side) => side.put("c=1", "c=2").then(() => note(side)) },
      { words: "compaction $now" },
      { words: "compaction $now --physical", before: (side) => side.put("c=3").then(() => note(side)) },
      { words: "get c --rev=2" },
      { words: "compaction 1000000" },
    ],
  },
];

/** `$from`: where the history of w/x begins that ends with "end". */
async function history(side: Side): Promise<void> {
  // So that no pair of the last history is the one before the first of this.
  await side.client.unary(rpcs.KVDeleteRange, { key: "w/", rangeEnd: "w0" });
  side.words.set("from", String((await side.revision()) + 1));
  await side.put("w/x=1", "w/y=2", "w/x=3");
  await side.client.unary(rpcs.KVDeleteRange, { key: "w/x" });
  await side.put("w/x=end");
}

/** As bytes are written by each format, and with all that comes after it. */
const END = /(?<!")end(?!")|ZW5k|"end"\n"Lease" : 0\n/;

const PROGRESS = /progress notify: \d+\n/;

export const watch: Subcommand = {
  name: "watch",
  cases: [
    { words: "watch w/x --rev=$from", before: history, until: END },
    { words: "watch w/ --prefix --rev=$from --prev-kv", until: END },
    { words: "watch w/x w/y --rev=$from", until: END },
    {
      words: [
        ...["watch", "w/x", "--rev=$from", "--", "sh", "-c"],
        "echo $ETCD_WATCH_REVISION $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE",
      ],
      until: /"PUT" "w\/x" "end"/,
    },
    { words: "watch --interactive", input: "watch w/x --rev=$from\n", until: END },
    { words: "watch w/x --progress-notify", until: PROGRESS, formats: ["simple"], mask: repeatedProgress },
    {
      words: "watch --interactive",
      input: "watch w/x\nprogress\n",
      until: PROGRESS,
      formats: ["simple"],
      mask: repeatedProgress,
    },
    { words: "watch w/x --rev=1" },
  ],
};
