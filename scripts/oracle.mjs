/** `npm run oracle`: brings what test/oracle/main.ts needs, a build and on a Debian an etcd, and starts it. */
import { ensure, ensureEtcd, runToItsEnd } from "./ensure.mjs";

ensure();
ensureEtcd();
runToItsEnd(process.execPath, ["--import", "tsx", "test/oracle/main.ts", ...process.argv.slice(2)]);
