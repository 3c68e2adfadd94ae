/** `npm start`: a cluster of Quorate members in the foreground. See scripts/cluster.ts for what it does. */
import { ensure } from "./ensure.mjs";

ensure();
const { runCluster } = await import("../dist/scripts/cluster.js");
process.exitCode = await runCluster(process.argv.slice(2));
