/**
 * `npm run test:docker`: the cluster of docker-compose.yml, its members killed, paused, cut off, restarted and recreated.
 * Needs a Docker engine with compose (scripts/with-engine.sh brings one on a Debian); pulls no image. Without an engine it
 * says that it was skipped. Words after `--` go to vitest.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { ensure, ensureEtcd, root, run, say } from "./ensure.mjs";

const DEFAULT_BASE = "node:24-slim";
const LOCAL_BASE = "quorate-base";

const works = (...args) => spawnSync("docker", args, { stdio: "ignore" }).status === 0;
const hasImage = (name) => works("image", "inspect", name);

if (!works("info") || !works("compose", "version")) {
  const missing = works("info") ? "docker compose is not installed" : "no Docker engine answers";
  say("***********************************************************************");
  say(`SKIPPED: the tests with containers did NOT run: ${missing}.`);
  say("On a Debian, as root: scripts/with-engine.sh npm run test:docker");
  say("***********************************************************************");
} else {
  ensure();
  ensureEtcd();
  process.env.BASE_IMAGE ??= base();
  run(join(root, "node_modules", ".bin", "vitest"), [
    "run",
    ...(process.argv.length > 2 ? process.argv.slice(2) : ["test/docker"]),
    "--no-file-parallelism",
    "--disable-console-intercept=true",
  ]);
}

/** An image that is here already, or one made of this machine's own programs. */
function base() {
  if (hasImage(DEFAULT_BASE)) return DEFAULT_BASE;
  if (!hasImage(LOCAL_BASE)) {
    say(`${DEFAULT_BASE} is not here and the tests pull nothing: making a base image (scripts/base-image.sh)`);
    run(join(root, "scripts", "base-image.sh"), [LOCAL_BASE]);
  }
  return LOCAL_BASE;
}
