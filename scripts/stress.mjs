/** `npm run stress`: brings the build that test/stress/main.ts starts its members from, and starts it. */
import { ensure, runToItsEnd } from "./ensure.mjs";

ensure();
runToItsEnd(process.execPath, ["--import", "tsx", "test/stress/main.ts", ...process.argv.slice(2)]);
