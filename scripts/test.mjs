/**
 * `npm test`: everything that proves this tree. Installs what is missing (packages, the build, etcdctl and etcd on a
 * Debian), then runs the static checks and every suite. Words after `--` go to vitest: npm test -- test/raft
 */
import { join } from "node:path";
import { ensure, ensureEtcd, root, run, say } from "./ensure.mjs";

ensure();

ensureEtcd();

const vitest = (...words) => run(join(root, "node_modules", ".bin", "vitest"), ["run", ...words]);
const words = process.argv.slice(2);
if (words.length > 0) vitest(...words);
else {
  run("npm", ["run", "--silent", "check"]);
  vitest("--exclude", "test/timing/**", "--exclude", "test/docker/**");
  say("now the suites that measure time, with the machine to themselves");
  vitest("--no-file-parallelism", "test/timing");
}
