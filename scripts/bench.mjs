/** `npm run bench`: brings the build and, on a Debian, the etcd that bench/main.ts measures, and starts it. */
import { ensure, ensureEtcd, runToItsEnd } from "./ensure.mjs";

ensure();
ensureEtcd();
runToItsEnd(process.execPath, ["--import", "tsx", "bench/main.ts", ...process.argv.slice(2)]);
